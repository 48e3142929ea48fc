import type { GenerationRequest, Sampling, TokenLogprobs } from '../engine.ts';
import { fastExp } from './fast-exp.ts';
import { type Distribution, nearest } from './nearest.ts';
import { LogitBias } from './processors/logit-bias.ts';
import type { LogitsProcessor } from './processors/logits-processor.ts';
import { MinTokens } from './processors/min-tokens.ts';
import { Penalties } from './processors/penalties.ts';
import { PromptLogprobs } from './prompt-logprobs.ts';
import { randomSource } from './random.ts';
import { argmax, draw, indicesFrom, largest } from './selection.ts';
import { LogprobsRecord } from './token-logprobs.ts';
import { typicalOf, typicalOfAll } from './typical.ts';

/** Weights that are summed apart: a draw steps over such a block by one comparison. */
const blockSize = 256;

/** Logits are let through so much below min-p's bound: their weights, rounded, are what it is held against. */
const logSlack = 1e-3;

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
  /** Unnormalized probabilities, the likeliest is 1. Reused from step to step. */
  readonly #weights: Float32Array;
  /** The sum of each block of them. */
  readonly #sums: Float64Array;

  /** @param constraint what the tokens may be, beyond what the sampling says */
  constructor(request: SampledRequest, vocabularySize: number, constraint?: LogitsProcessor) {
    const { sampling, prompt = [], stopTokens = [], minTokens = 0 } = request;
    this.#sampling = sampling;
    this.#greedy = sampling.temperature < leastTemperature || sampling.topK === 1;
    this.#random = randomSource(sampling.seed);
    this.#processors = [
      constraint,
      MinTokens.of(minTokens, stopTokens),
      LogitBias.of(sampling),
      Penalties.of(sampling, prompt),
    ].filter((processor) => processor !== undefined);
    this.promptLogprobs = PromptLogprobs.of(request, vocabularySize);
    if (request.logprobs !== undefined) {
      this.#record = new LogprobsRecord(request.logprobs, vocabularySize, this.#processors.length > 0);
    }
    this.#weights = new Float32Array(this.#greedy ? 0 : vocabularySize);
    this.#sums = new Float64Array(Math.ceil(this.#weights.length / blockSize));
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
    const best = argmax(logits);
    if (!Number.isFinite(logits[best])) {
      throw new Error(`Its logits are no numbers: the largest is ${logits[best]}.`);
    }
    const { temperature, topK, topP, minP, typicalP = 1 } = this.#sampling;
    if (this.#greedy) return best;

    const highestLogit = logits[best]!;
    const distribution = { logits, weights: this.#weights, highestLogit, temperature };
    if (topK > 0 && topK < logits.length) {
      const candidates = this.#weighSome(largest(logits, topK), distribution);
      return this.#drawFrom(candidates, this.#sumOf(candidates), distribution);
    }
    if (topP >= 1 && minP > 0) return this.#drawFrom(this.#nearEnough(distribution), 0, distribution);
    const total = this.#weighAll(distribution);
    if (topP < 1) return this.#drawFrom(this.#likelyEnough(total), total, distribution);
    if (typicalP >= 1) return this.#drawAny(total * this.#random());
    return this.#drawOneOf(typicalOfAll(distribution, total, typicalP));
  }

  /** @returns the sum of all weights */
  #weighAll({ logits, weights, highestLogit, temperature }: Distribution): number {
    const inverse = 1 / temperature;
    let total = 0;
    for (let block = 0; block < this.#sums.length; block++) {
      const end = Math.min((block + 1) * blockSize, logits.length);
      let sum = 0;
      for (let i = block * blockSize; i < end; i++) {
        const weight = fastExp((logits[i]! - highestLogit) * inverse);
        weights[i] = weight;
        sum += weight;
      }
      this.#sums[block] = sum;
      total += sum;
    }
    return total;
  }

  /** The token of the whole vocabulary at which the running sum passes `at`. */
  #drawAny(at: number): number {
    let last = 0;
    for (let block = 0; block < this.#sums.length; block++) {
      const sum = this.#sums[block]!;
      if (sum === 0) continue;
      last = block;
      if (at < sum) break;
      at -= sum;
    }
    const start = last * blockSize;
    return start + draw(this.#weights.subarray(start, start + blockSize), undefined, at);
  }

  /** The tokens that top-p or min-p may leave: those below have less than 1 - p together. */
  #likelyEnough(total: number): number[] {
    const { topP, minP } = this.#sampling;
    const floor = Math.max(minP, ((1 - topP) * total) / this.#weights.length);
    return indicesFrom(this.#weights, floor);
  }

  /** The tokens that min-p may leave, weighed: others need not be. */
  #nearEnough(distribution: Distribution): number[] {
    const { temperature, minP } = this.#sampling;
    const least = distribution.highestLogit + (Math.log(minP) - logSlack) * temperature;
    return this.#weighSome(indicesFrom(distribution.logits, least), distribution);
  }

  /**
   * Draws from what top-p, then min-p and then typical-p leave of the candidates.
   * @param total of the weights that top-p takes its share of
   */
  #drawFrom(candidates: number[], total: number, distribution: Distribution): number {
    const { topP, minP, typicalP = 1 } = this.#sampling;
    const { weights, highestLogit } = distribution;
    let tokens = candidates;
    if (topP < 1) tokens = nearest(distribution, tokens, highestLogit, topP * total);
    if (minP > 0) tokens = tokens.filter((token) => weights[token]! >= minP);
    if (typicalP < 1) tokens = typicalOf(distribution, tokens, typicalP);
    return this.#drawOneOf(tokens);
  }

  #drawOneOf(tokens: number[]): number {
    return draw(this.#weights, tokens, this.#sumOf(tokens) * this.#random());
  }

  /** @returns the tokens it was given, without those that have no chance */
  #weighSome(tokens: number[], { logits, weights, highestLogit, temperature }: Distribution): number[] {
    const inverse = 1 / temperature;
    for (const token of tokens) weights[token] = fastExp((logits[token]! - highestLogit) * inverse);
    return tokens.filter((token) => weights[token]! > 0);
  }

  #sumOf(tokens: number[]): number {
    let sum = 0;
    for (const token of tokens) sum += this.#weights[token]!;
    return sum;
  }
}
