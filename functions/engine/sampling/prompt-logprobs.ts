import type { GenerationRequest, TokenLogprobs } from '../engine.ts';
import { logprobsOf } from './token-logprobs.ts';
import type { VocabularyWeights } from './vocabulary-weights.ts';

/** Bytes of logits in memory at once: a large vocabulary's of a usual part of a prompt would be 78 MB. */
const logitsBytes = 16 * 1024 * 1024;

/** What the model thought of each token of a prompt, by the logits of the one before it. */
export class PromptLogprobs {
  /** Tokens to read at once, at most. */
  readonly chunk: number;
  readonly #prompt: ArrayLike<number>;
  readonly #weights: VocabularyWeights;
  readonly #topCount: number;
  #entries: TokenLogprobs[] | undefined = [];

  /** @returns undefined where the request does not ask */
  static of(
    request: Pick<GenerationRequest, 'promptLogprobs' | 'logprobs'> & { prompt?: ArrayLike<number> },
    weights: VocabularyWeights,
  ): PromptLogprobs | undefined {
    const { prompt = [], promptLogprobs, logprobs = 0 } = request;
    return promptLogprobs ? new PromptLogprobs(prompt, weights, logprobs) : undefined;
  }

  private constructor(prompt: ArrayLike<number>, weights: VocabularyWeights, topCount: number) {
    this.#prompt = prompt;
    this.#weights = weights;
    this.#topCount = topCount;
    this.chunk = Math.max(1, Math.floor(logitsBytes / Float32Array.BYTES_PER_ELEMENT / weights.size));
  }

  /**
   * @param logits [tokens, vocabulary] after each of the prompt's next tokens
   * @returns those after the last one, [vocabulary]
   */
  read(logits: Float32Array): Float32Array {
    const { size } = this.#weights;
    const entries = this.#entries ?? [];
    for (let at = 0; at < logits.length; at += size) {
      const next = this.#prompt[entries.length + 1];
      if (next === undefined) break;
      entries.push(logprobsOf(logits.subarray(at, at + size), next, this.#topCount, this.#weights));
    }
    return logits.subarray(logits.length - size);
  }

  /** One for each token but the first. Given once. */
  take(): TokenLogprobs[] | undefined {
    const entries = this.#entries;
    this.#entries = undefined;
    return entries;
  }
}
