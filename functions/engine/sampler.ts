import type { Sampling } from './engine.ts';
import { fastExp } from './fast-exp.ts';
import { randomSource } from './random.ts';

/** Weights that are summed apart: a draw steps over such a block by one comparison. */
const blockSize = 256;

/** Logits are let through so much below min-p's bound: their weights, rounded, are what it is held against. */
const logSlack = 1e-3;

/** Below this, only exact ties with the likeliest token have any chance, and 1/temperature may overflow. */
const leastTemperature = 1e-5;

/**
 * Picks a sequence's next token. Filters act on the probabilities at the given temperature in the order
 * top-k, top-p, min-p, as Transformers' and llama.cpp's do. Cost matters: this runs between any two steps
 * of the model, over vocabularies of up to 262,144 pieces.
 */
export class Sampler {
  readonly #sampling: Sampling;
  readonly #greedy: boolean;
  readonly #random: () => number;
  /** Unnormalized probabilities, the likeliest is 1. Reused from step to step. */
  readonly #weights: Float32Array;
  /** The sum of each block of them. */
  readonly #sums: Float64Array;

  constructor(sampling: Sampling, vocabularySize: number) {
    this.#sampling = sampling;
    this.#greedy = sampling.temperature < leastTemperature || sampling.topK === 1;
    this.#random = randomSource(sampling.seed);
    this.#weights = new Float32Array(this.#greedy ? 0 : vocabularySize);
    this.#sums = new Float64Array(Math.ceil(this.#weights.length / blockSize));
  }

  /**
   * @param logits [vocabulary], left as it is
   * @throws Error where the largest is not finite: the model's weights or kernels are broken
   */
  next(logits: Float32Array): number {
    const best = argmax(logits);
    if (!Number.isFinite(logits[best])) {
      throw new Error(`Its logits are no numbers: the largest is ${logits[best]}.`);
    }
    const { topK, topP, minP } = this.#sampling;
    if (this.#greedy) return best;

    const highest = logits[best]!;
    if (topK > 0 && topK < logits.length) {
      const candidates = this.#weighSome(largest(logits, topK), logits, highest);
      return this.#drawFrom(candidates, this.#sumOf(candidates));
    }
    if (topP >= 1 && minP > 0) return this.#drawFrom(this.#nearEnough(logits, highest), 0);
    const total = this.#weighAll(logits, highest);
    if (topP >= 1) return this.#drawAny(total * this.#random());
    return this.#drawFrom(this.#likelyEnough(total), total);
  }

  /** @returns the sum of all weights */
  #weighAll(logits: Float32Array, highest: number): number {
    const weights = this.#weights;
    const inverse = 1 / this.#sampling.temperature;
    let total = 0;
    for (let block = 0; block < this.#sums.length; block++) {
      const end = Math.min((block + 1) * blockSize, logits.length);
      let sum = 0;
      for (let i = block * blockSize; i < end; i++) {
        const weight = fastExp((logits[i]! - highest) * inverse);
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

  /** The tokens that top-p or min-p may leave, likeliest first: those below have less than 1 - p together. */
  #likelyEnough(total: number): number[] {
    const { topP, minP } = this.#sampling;
    const floor = Math.max(minP, ((1 - topP) * total) / this.#weights.length);
    return largestFirst(this.#weights, indicesFrom(this.#weights, floor));
  }

  /** The tokens that min-p may leave, likeliest first, and weighed: others need not be. */
  #nearEnough(logits: Float32Array, highest: number): number[] {
    const { temperature, minP } = this.#sampling;
    const least = highest + (Math.log(minP) - logSlack) * temperature;
    return largestFirst(logits, this.#weighSome(indicesFrom(logits, least), logits, highest));
  }

  /**
   * Draws from what top-p and then min-p leave of the candidates.
   * @param total of the weights that top-p takes its share of
   */
  #drawFrom(candidates: number[], total: number): number {
    const { topP, minP } = this.#sampling;
    const weights = this.#weights;
    if (topP < 1) {
      let sum = 0;
      let end = 0;
      while (end < candidates.length && sum < topP * total) sum += weights[candidates[end++]!]!;
      candidates.length = Math.max(end, 1);
    }
    const passing = minP > 0 ? candidates.filter((token) => weights[token]! >= minP) : candidates;
    return draw(weights, passing, this.#sumOf(passing) * this.#random());
  }

  /** @returns the tokens it was given */
  #weighSome(tokens: number[], logits: Float32Array, highest: number): number[] {
    const inverse = 1 / this.#sampling.temperature;
    for (const token of tokens) this.#weights[token] = fastExp((logits[token]! - highest) * inverse);
    return tokens;
  }

  #sumOf(tokens: number[]): number {
    let sum = 0;
    for (const token of tokens) sum += this.#weights[token]!;
    return sum;
  }
}

/** Indices of the values from `least` on. */
function indicesFrom(values: Float32Array, least: number): number[] {
  const indices: number[] = [];
  const count = values.length;
  let found = 0; // with push, V8 makes the loop four times slower
  for (let i = 0; i < count; i++) if (values[i]! >= least) indices[found++] = i;
  return indices;
}

/** The first of the largest values; what is no number is passed over. */
export function argmax(values: Float32Array): number {
  // Four at a time: comparisons that do not wait for each other take half the time.
  let [a, b, c, d] = [-Infinity, -Infinity, -Infinity, -Infinity];
  const whole = values.length & ~3;
  for (let i = 0; i < whole; i += 4) {
    if (values[i]! > a) a = values[i]!;
    if (values[i + 1]! > b) b = values[i + 1]!;
    if (values[i + 2]! > c) c = values[i + 2]!;
    if (values[i + 3]! > d) d = values[i + 3]!;
  }
  let highest = Math.max(a, b, c, d);
  for (let i = whole; i < values.length; i++) if (values[i]! > highest) highest = values[i]!;
  return Math.max(values.indexOf(highest), 0); // where nothing is a number, -1
}

/** Indices of the k largest numbers, largest first; of equals the lower index goes first. */
function largest(values: Float32Array, k: number): number[] {
  // A heap of k with the smallest on top: nearly every value is turned away by one comparison.
  const heap: number[] = [];
  const less = (a: number, b: number) => values[a]! < values[b]! || (values[a]! === values[b]! && a > b);
  const sink = (at: number) => {
    for (;;) {
      let smallest = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && less(heap[child]!, heap[smallest]!)) smallest = child;
      }
      if (smallest === at) return;
      [heap[at], heap[smallest]] = [heap[smallest]!, heap[at]!];
      at = smallest;
    }
  };
  let next = 0;
  for (; heap.length < k && next < values.length; next++) if (!Number.isNaN(values[next])) heap.push(next);
  for (let at = k >> 1; at >= 0; at--) sink(at);
  for (let i = next; i < values.length; i++) {
    if (values[i]! > values[heap[0]!]!) {
      heap[0] = i;
      sink(0);
    }
  }
  return largestFirst(values, heap);
}

/** Of equals the lower index goes first. */
function largestFirst(values: Float32Array, indices: number[]): number[] {
  return indices.sort((a, b) => values[b]! - values[a]! || a - b);
}

/** The token at which the running sum passes `at`. */
function draw(weights: Float32Array, tokens: number[] | undefined, at: number): number {
  const count = tokens?.length ?? weights.length;
  let last = 0;
  for (let i = 0; i < count; i++) {
    const token = tokens ? tokens[i]! : i;
    const weight = weights[token]!;
    if (weight === 0) continue;
    at -= weight;
    last = token;
    if (at < 0) return token;
  }
  return last; // rounding left a rest
}
