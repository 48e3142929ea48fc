import type { Sampling } from './engine.ts';
import { fastExp } from './fast-exp.ts';
import { randomSource } from './random.ts';

/** Weights that are summed apart: a draw steps over such a block by one comparison. */
const blockSize = 256;

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
    const { temperature, topK, topP, minP } = this.#sampling;
    if (this.#greedy) return best;

    const total = this.#weigh(logits, logits[best]!, 1 / temperature);
    if (topK === 0 && topP >= 1 && minP <= 0) return this.#drawAny(total * this.#random());

    const weights = this.#weights;
    const candidates = this.#candidates(total);
    let sum = 0;
    for (const token of candidates) sum += weights[token]!;
    return draw(weights, candidates, sum * this.#random());
  }

  /** @returns the sum of all weights */
  #weigh(logits: Float32Array, highest: number, inverse: number): number {
    const weights = this.#weights;
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

  /** The tokens that pass the filters, likeliest first. */
  #candidates(total: number): number[] {
    const { topK, topP, minP } = this.#sampling;
    const weights = this.#weights;
    // Below this a token passes neither min-p nor top-p: all such tokens together have less than 1 - p.
    const floor = topP < 1 ? Math.max(minP, ((1 - topP) * total) / weights.length) : minP;
    let candidates: number[] = [];
    if (topK > 0 && topK < weights.length) {
      candidates = largest(weights, topK);
    } else {
      for (let i = 0; i < weights.length; i++) if (weights[i]! >= floor) candidates.push(i);
      candidates.sort((a, b) => weights[b]! - weights[a]! || a - b);
    }
    if (topP < 1) {
      const inTopK = topK > 0 ? candidates.reduce((sum, token) => sum + weights[token]!, 0) : total;
      let sum = 0;
      let end = 0;
      while (end < candidates.length && sum < topP * inTopK) sum += weights[candidates[end++]!]!;
      candidates.length = Math.max(end, 1);
    }
    return minP > 0 ? candidates.filter((token) => weights[token]! >= minP) : candidates;
  }
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

/** Indices of the k largest values, largest first; of equals the lower index goes first. */
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
  for (let i = 0; i < k; i++) heap.push(i);
  for (let at = k >> 1; at >= 0; at--) sink(at);
  for (let i = k; i < values.length; i++) {
    if (values[i]! > values[heap[0]!]!) {
      heap[0] = i;
      sink(0);
    }
  }
  return heap.sort((a, b) => values[b]! - values[a]! || a - b);
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
