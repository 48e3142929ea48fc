import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import { Gemm } from '../onnx/gemm.ts';
import { emptyMatrix, putCodes, type QuantizedMatrix } from './blocks.ts';
import type { Feedback } from './feedback.ts';

/** The plain scale, which maps a block's largest value to the lowest code. */
export const plainScale = [1];

/**
 * Turns weights into codes one block of inputs after the other, each made to take up the errors of those
 * before it. A block's scale is that of rounding to nearest, times whichever of `scales` costs least.
 */
export class Gptq implements Disposable {
  readonly #product = new Gemm({ transB: true });
  readonly #scales: readonly number[];

  /** @param scales factors on the scale to choose from; negative ones turn the sign of the lowest code */
  constructor(scales: readonly number[] = plainScale) {
    this.#scales = scales;
  }

  /** @param feedback of the Hessian of the matrix's inputs */
  quantize(
    weights: Float32Array,
    [outputs, inputs]: readonly [outputs: number, inputs: number],
    bits: 4 | 8,
    blockSize: number,
    feedback: Feedback,
  ): QuantizedMatrix {
    const matrix = emptyMatrix(outputs, inputs, bits, blockSize);
    const errors = new Float32Array(outputs * inputs);
    const allErrors = new Tensor(errors, [outputs, inputs]);
    const codes = new Uint8Array(blockSize);
    for (let start = 0; start < inputs; start += blockSize) {
      const count = Math.min(blockSize, inputs - start);
      const targets = new Float32Array(outputs * count);
      for (let row = 0; row < outputs; row++) {
        const from = row * inputs + start;
        targets.set(weights.subarray(from, from + count), row * count);
      }
      if (start > 0) {
        const factors = feedback.factors.subarray(start * inputs, (start + count) * inputs);
        const y = new Tensor(targets, [outputs, count]);
        this.#product.run(allErrors, new Tensor(factors, [count, inputs]), y, y);
      }
      const rounding = new BlockRounding(feedback, start, count, bits, this.#scales);
      for (let row = 0; row < outputs; row++) {
        const from = row * inputs + start;
        const block = row * matrix.blocks + start / blockSize;
        codes.fill(2 ** (bits - 1));
        matrix.scales[block] = rounding.round(
          targets.subarray(row * count, (row + 1) * count),
          weights.subarray(from, from + count),
          codes,
          errors.subarray(from, from + count),
        );
        putCodes(matrix, block, codes);
      }
    }
    return matrix;
  }

  [Symbol.dispose](): void {
    this.#product[Symbol.dispose]();
  }
}

/** Rounds one row's weights of one block of inputs; what it needs of the feedback is copied close together. */
class BlockRounding {
  readonly #count: number;
  readonly #zero: number;
  readonly #scales: readonly number[];
  /** Transposed, so that an error is passed on along a row. */
  readonly #factors: Float64Array;
  readonly #costs: Float64Array;
  readonly #work: Float64Array;
  readonly #codes: Uint8Array;

  constructor(feedback: Feedback, start: number, count: number, bits: 4 | 8, scales: readonly number[]) {
    this.#count = count;
    this.#zero = 2 ** (bits - 1);
    this.#scales = scales;
    this.#factors = new Float64Array(count * count);
    for (let k = 0; k < count; k++) {
      const row = (start + k) * feedback.size + start;
      for (let j = 0; j < k; j++) this.#factors[j * count + k] = feedback.factors[row + j]!;
    }
    this.#costs = Float64Array.from(feedback.costs.subarray(start, start + count));
    this.#work = new Float64Array(count);
    this.#codes = new Uint8Array(count);
  }

  /**
   * @param targets the weights with the errors of earlier blocks made up for
   * @param codes the result
   * @param errors the result: what each weight lost
   * @returns the scale
   */
  round(targets: Float32Array, weights: Float32Array, codes: Uint8Array, errors: Float32Array): number {
    const largest = this.#largest(targets, weights);
    let best = Number.POSITIVE_INFINITY;
    let bestScale = 0;
    for (const factor of this.#scales) {
      const scale = Math.fround((largest / -this.#zero) * factor);
      const cost = this.#try(targets, weights, scale, best);
      if (cost >= best) continue;
      best = cost;
      bestScale = scale;
      codes.set(this.#codes);
    }
    for (let i = 0; i < errors.length; i++) {
      errors[i] = weights[i]! - Math.fround((codes[i]! - this.#zero) * bestScale);
    }
    return bestScale;
  }

  /** The largest value by size, once the block has taken up all errors before it. */
  #largest(targets: Float32Array, weights: Float32Array): number {
    const work = this.#work;
    work.set(targets);
    let largest = 0;
    for (let k = 0; k < this.#count; k++) {
      const value = work[k]!;
      if (Math.abs(value) > Math.abs(largest)) largest = value;
      this.#passOn(k, weights[k]! - value);
    }
    return largest;
  }

  /** Lets the inputs after input k make up for its error. */
  #passOn(k: number, error: number): void {
    const count = this.#count;
    const factors = this.#factors;
    const work = this.#work;
    const row = k * count;
    for (let j = k + 1; j < count; j++) work[j]! += error * factors[row + j]!;
  }

  /** The cost of a scale; given up where it reaches `limit`. */
  #try(targets: Float32Array, weights: Float32Array, scale: number, limit: number): number {
    const count = this.#count;
    const zero = this.#zero;
    const top = 2 * zero - 1;
    const costs = this.#costs;
    const work = this.#work;
    const inverse = scale === 0 ? 0 : 1 / scale;
    work.set(targets);
    let cost = 0;
    for (let k = 0; k < count; k++) {
      const value = work[k]!;
      const code = Math.min(top, Math.max(0, Math.round(value * inverse) + zero));
      const rounded = Math.fround((code - zero) * scale);
      this.#codes[k] = code;
      cost += costs[k]! * (value - rounded) * (value - rounded);
      if (cost >= limit) return cost;
      this.#passOn(k, weights[k]! - rounded);
    }
    return cost;
  }
}
