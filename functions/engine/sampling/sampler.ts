import type { GenerationRequest, Sampling, TokenLogprobs } from '../engine.ts';
import { nearest } from './nearest.ts';
import { LogitBias } from './processors/logit-bias.ts';
import type { LogitsProcessor } from './processors/logits-processor.ts';
import { MinTokens } from './processors/min-tokens.ts';
import { Penalties } from './processors/penalties.ts';
import { PromptLogprobs } from './prompt-logprobs.ts';
import { randomSource } from './random.ts';
import { argmax, draw } from './selection.ts';
import { LogprobsRecord } from './token-logprobs.ts';
import { typicalOf, typicalOfAll } from './typical.ts';
import type { VocabularyWeights } from './vocabulary-weights.ts';

/** Below this, only exact ties with the likeliest token have any chance, and 1/temperature may overflow. */
const leastTemperature = 1e-5;

/** What a sampler needs to know of a request. */
export interface SampledRequest
  extends Pick<GenerationRequest, 'sampling' | 'logprobs' | 'promptLogprobs' | 'minTokens'>,
    Partial<Pick<GenerationRequest, 'stopTokens'>> {
  /** For penalties and reports. @default none */
  prompt?: ArrayLike<number>;
}

/**
 * Picks a sequence's next token. Logits are changed in vLLM's order: constraint, least length, bias, penalties.
 * Filters then act on the probabilities at the given temperature in the order top-k, top-p, min-p, typical, as
 * Transformers' do. Cost matters: this runs between any two steps of the model, over vocabularies of up to
 * 262,144 pieces, and what a request does not ask for costs nothing.
 */
export class Sampler {
  /** To be told of the prompt's logits, where the request asks for a report. */
  readonly promptLogprobs: PromptLogprobs | undefined;
  readonly #sampling: Sampling;
  readonly #greedy: boolean;
  readonly #random: () => number;
  readonly #processors: readonly LogitsProcessor[];
  readonly #record: LogprobsRecord | undefined;
  readonly #weights: VocabularyWeights;

  /**
   * @param weights the thread's
   * @param constraint what the tokens may be, beyond what the sampling says
   */
  constructor(request: SampledRequest, weights: VocabularyWeights, constraint?: LogitsProcessor) {
    const { sampling, prompt = [], stopTokens = [], minTokens = 0 } = request;
    this.#weights = weights;
    this.#sampling = sampling;
    this.#greedy = sampling.temperature < leastTemperature || sampling.topK === 1;
    this.#random = randomSource(sampling.seed);
    this.#processors = [
      constraint,
      MinTokens.of(minTokens, stopTokens),
      LogitBias.of(sampling),
      Penalties.of(sampling, prompt),
    ].filter((processor) => processor !== undefined);
    this.promptLogprobs = PromptLogprobs.of(request, weights);
    if (request.logprobs !== undefined)
      this.#record = new LogprobsRecord(request.logprobs, weights, this.#processors.length > 0);
  }

  /**
   * @param logits [vocabulary], which may be changed
   * @throws Error where the largest is not finite: the model's weights or kernels are broken
   */
  next(logits: Float32Array): number {
    this.#record?.see(logits);
    for (const processor of this.#processors) processor.process(logits);
    const token = this.#pick(logits);
    for (const processor of this.#processors) processor.accept(token);
    this.#record?.add(token);
    return token;
  }

  /** What the model thought of the tokens picked since the last call. @returns undefined where nobody asks */
  takeLogprobs(): TokenLogprobs[] | undefined {
    return this.#record?.take();
  }

  #pick(logits: Float32Array): number {
    if (this.#greedy) {
      const best = argmax(logits);
      checkHighest(logits[best]!);
      return best;
    }
    const weights = this.#weights;
    const { temperature, topK, topP, minP, typicalP = 1 } = this.#sampling;
    weights.weigh(logits, temperature);
    checkHighest(weights.highestLogit);
    if (topK > 0 && topK < logits.length) {
      const candidates = this.#withChance(weights.largest(topK));
      return this.#drawFrom(logits, candidates, this.#sumOf(candidates));
    }
    if (topP < 1 || minP > 0) {
      // Those below the first bound have less than 1 - p together.
      const least = Math.max(((1 - topP) * weights.total) / weights.size, minP);
      return this.#drawFrom(logits, this.#withChance(weights.tokensFrom(least)), weights.total);
    }
    if (typicalP >= 1) return weights.tokenAt(weights.total * this.#random());
    return this.#drawOneOf(typicalOfAll({ logits, weights, temperature }, typicalP));
  }

  /**
   * Draws from what top-p, then min-p and then typical-p leave of the candidates.
   * @param total of the weights that top-p takes its share of
   */
  #drawFrom(logits: Float32Array, candidates: number[], total: number): number {
    const { topP, minP, typicalP = 1, temperature } = this.#sampling;
    const weights = this.#weights;
    const distribution = { logits, weights, temperature };
    let tokens = candidates;
    if (topP < 1) tokens = nearest(distribution, tokens, weights.highestLogit, topP * total);
    if (minP > 0) tokens = tokens.filter((token) => weights.values[token]! >= minP);
    if (typicalP < 1) tokens = typicalOf(distribution, tokens, typicalP);
    return this.#drawOneOf(tokens);
  }

  #drawOneOf(tokens: number[]): number {
    return draw(this.#weights.values, tokens, this.#sumOf(tokens) * this.#random());
  }

  #withChance(tokens: number[]): number[] {
    const { values } = this.#weights;
    return tokens.filter((token) => values[token]! > 0);
  }

  #sumOf(tokens: number[]): number {
    const { values } = this.#weights;
    let sum = 0;
    for (const token of tokens) sum += values[token]!;
    return sum;
  }
}

/** @throws Error where it is not finite: the model's weights or kernels are broken */
function checkHighest(logit: number): void {
  if (!Number.isFinite(logit)) throw new Error(`Its logits are no numbers: the largest is ${logit}.`);
}
