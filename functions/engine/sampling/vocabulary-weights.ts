import { type Binding, Session } from '../../../artifact/onnxruntime/session.ts';
import { Tensor } from '../../../artifact/onnxruntime/tensor.ts';
import { addIndicesFrom, argmax, draw, largest } from './selection.ts';
import { blockSize, weighGraph } from './weigh-graph.ts';

/** Bounds of blocks are held against single weights, which were rounded otherwise. */
const slack = 1e-4;

/** More candidates for the k largest than this times k are not worth sorting. */
const sortedAtMost = 8;

/**
 * The probabilities of a whole vocabulary, not normalized: exp((logit - highest) / temperature). The runtime's
 * kernels weigh 49 thousand pieces in 0.03 ms, a fifth of what loops in JavaScript take, and give each block's
 * highest logit and sum of weights, so that whoever looks for few tokens looks into few blocks.
 *
 * One serves all samplers of a thread in turn: what it holds is good until the next `weigh`. Its memory and session
 * are made when they are first asked for, as greedy requests never do.
 */
export class VocabularyWeights implements Disposable {
  /** Pieces of the vocabulary. */
  readonly size: number;
  /** The largest of the logits last weighed: its weight is 1. */
  highestLogit = Number.NaN;
  /** Sum of all weights. */
  total = Number.NaN;
  #memory: Memory | undefined;

  constructor(size: number) {
    this.size = size;
  }

  /** By token; what has no chance has 0. */
  get values(): Float32Array {
    return this.#made.weights;
  }

  /** @param logits [vocabulary]; what is no number gets no weight */
  weigh(logits: Float32Array, temperature: number): void {
    const { padded, inverse, sums } = this.#made;
    padded.set(logits);
    inverse[0] = 1 / temperature;
    this.#run();
    if (Number.isNaN(this.total) && logits.some(Number.isNaN)) {
      for (let i = 0; i < this.size; i++) if (Number.isNaN(padded[i])) padded[i] = -Infinity;
      this.#run();
    }
    // Nothing but infinities: the kernels' differences of them are no numbers.
    if (Number.isNaN(this.total)) sums.fill(0);
  }

  #run(): void {
    const { binding, highest, sums } = this.#made;
    binding.run();
    this.highestLogit = highest[argmax(highest)]!;
    this.total = 0;
    for (let block = 0; block < sums.length; block++) this.total += sums[block]!;
  }

  /** The token at which the running sum of weights passes `at`, 0 to below `total`. */
  tokenAt(at: number): number {
    const { sums, weights } = this.#made;
    let last = 0;
    for (let block = 0; block < sums.length; block++) {
      const sum = sums[block]!;
      if (sum === 0) continue;
      last = block;
      if (at < sum) break;
      at -= sum;
    }
    const start = last * blockSize;
    return start + draw(weights.subarray(start, start + blockSize), undefined, at);
  }

  /** Tokens whose weight is `least` or more. */
  tokensFrom(least: number): number[] {
    const { weights, inverse } = this.#made;
    const bound = this.highestLogit + Math.log(least * (1 - slack)) / inverse[0]!;
    return this.#indicesFrom(weights, least, bound);
  }

  /** The k tokens with the largest logits; of equals the lower ones. */
  largest(k: number): number[] {
    const { padded, highest } = this.#made;
    const logits = padded.subarray(0, this.size);
    if (k > highest.length) return largest(logits, k);
    // So many blocks have one of at least this: all k largest are no smaller.
    const least = Float32Array.from(highest).sort().at(-k)!;
    const candidates = this.#indicesFrom(logits, least, least);
    if (candidates.length > sortedAtMost * k) return largest(logits, k);
    return candidates.sort((a, b) => logits[b]! - logits[a]! || a - b).slice(0, k);
  }

  /** @param bound blocks whose highest logit is lower have none */
  #indicesFrom(values: Float32Array, least: number, bound: number): number[] {
    const { highest } = this.#made;
    const indices: number[] = [];
    for (let block = 0; block < highest.length; block++) {
      if (highest[block]! < bound) continue;
      const start = block * blockSize;
      addIndicesFrom(values, least, start, Math.min(start + blockSize, values.length), indices);
    }
    return indices;
  }

  get #made(): Memory {
    this.#memory ??= makeMemory(this.size);
    return this.#memory;
  }

  [Symbol.dispose](): void {
    this.#memory?.binding[Symbol.dispose]();
    this.#memory?.session[Symbol.dispose]();
    this.#memory = undefined;
  }
}

interface Memory {
  session: Session;
  binding: Binding;
  /** The logits in whole blocks: behind the vocabulary lie pieces that have no chance. */
  padded: Float32Array;
  /** 1 / temperature */
  inverse: Float32Array;
  /** [vocabulary] */
  weights: Float32Array;
  /** By block: the highest logit, and the sum of weights. */
  highest: Float32Array;
  sums: Float32Array;
}

function makeMemory(size: number): Memory {
  const blocks = Math.ceil(size / blockSize);
  const padded = new Float32Array(blocks * blockSize).fill(-Infinity);
  const weights = new Float32Array(padded.length);
  const inverse = new Float32Array(1);
  const [highest, sums] = [new Float32Array(blocks), new Float32Array(blocks)];
  // One thread of its own: the model's threads spin for the model's next step.
  const session = new Session(weighGraph, { threads: 1, spinning: false });
  const all = [blocks, blockSize];
  const binding = session.bind(
    { logits: new Tensor(padded, all), inverse: new Tensor(inverse, []) },
    {
      weights: new Tensor(weights, all),
      highest: new Tensor(highest, [blocks, 1]),
      sums: new Tensor(sums, [blocks, 1]),
    },
  );
  return { session, binding, padded, inverse, weights: weights.subarray(0, size), highest, sums };
}
