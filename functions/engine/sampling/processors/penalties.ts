import type { Sampling } from '../../engine.ts';
import type { LogitsProcessor } from './logits-processor.ts';

/**
 * Makes tokens less likely that the text has already: the repetition penalty of CTRL (arXiv 1909.05858) over
 * prompt and completion, then OpenAI's frequency and presence penalties over the completion alone, in vLLM's
 * order. Costs what the tokens seen cost, not a vocabulary.
 */
export class Penalties implements LogitsProcessor {
  readonly #repetition: number;
  readonly #frequency: number;
  readonly #presence: number;
  /** How often the completion has each token; 0 for those of the prompt alone. */
  readonly #counts = new Map<number, number>();

  /** @returns undefined where the sampling asks for none */
  static of(sampling: Sampling, prompt: ArrayLike<number>): Penalties | undefined {
    const { repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0 } = sampling;
    if (repetitionPenalty === 1 && frequencyPenalty === 0 && presencePenalty === 0) return undefined;
    return new Penalties(repetitionPenalty, frequencyPenalty, presencePenalty, prompt);
  }

  private constructor(repetition: number, frequency: number, presence: number, prompt: ArrayLike<number>) {
    this.#repetition = repetition;
    this.#frequency = frequency;
    this.#presence = presence;
    if (repetition === 1) return;
    for (let i = 0; i < prompt.length; i++) this.#counts.set(prompt[i]!, 0);
  }

  process(logits: Float32Array): void {
    for (const [token, count] of this.#counts) {
      let logit = logits[token]!;
      logit = logit < 0 ? logit * this.#repetition : logit / this.#repetition;
      if (count > 0) logit -= this.#frequency * count + this.#presence;
      logits[token] = logit;
    }
  }

  accept(token: number): void {
    this.#counts.set(token, (this.#counts.get(token) ?? 0) + 1);
  }
}
