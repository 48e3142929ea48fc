import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import { Gemm } from '../onnx/gemm.ts';
import { dequantize, roundToNearest } from './blocks.ts';

/** Powers that are tried: in tenths, from no scaling to inputs that are all of one size. */
const powers = Array.from({ length: 11 }, (_, i) => i / 10);

/** Rows of a matrix that costs are measured on, at most: all of them are 0.7% better and take many times as long. */
const sampledRows = 256;

/** A matrix among those that share an input. */
export interface ScaledMatrix {
  /** Row-major [outputs, inputs]. */
  weights: Float32Array;
  shape: readonly [outputs: number, inputs: number];
  bits: 4 | 8;
  blockSize: number;
}

/** What its inputs tell of an input: `Hessian` is one. */
export interface InputStatistics {
  size: number;
  /** Row-major [size, size], sum of x xᵀ. */
  values: Float32Array;
  /** [size], in proportion to the mean of |x|. */
  magnitudes: ArrayLike<number>;
}

/** Scales of a matrix's inputs, and what they were chosen by. */
export interface ChosenScales {
  /** [inputs] */
  scales: Float32Array;
  power: number;
  /** Squared error of the sampled outputs after rounding, of each power that was tried. */
  costs: number[];
}

/**
 * Scales for the inputs of matrices that share them (AWQ, arXiv 2306.00978): s = mean|x|^power. Weights are
 * multiplied by s before they are rounded and inputs divided by it, so that weights that meet large inputs
 * are rounded finer. The power is the one that costs least in the outputs, Σ over matrices of
 * trace(E H Eᵀ) with E = round(W s) / s - W.
 */
export class Awq implements Disposable {
  readonly #product = new Gemm();

  choose(matrices: readonly ScaledMatrix[], inputs: InputStatistics): ChosenScales {
    const samples = matrices.map(sample);
    const tried = powers.map((power) => {
      const scales = scalesOf(inputs.magnitudes, power);
      const cost = samples.reduce((sum, matrix) => sum + this.#cost(matrix, scales, inputs), 0);
      return { power, scales, cost };
    });
    const best = tried.reduce((least, one) => (one.cost < least.cost ? one : least));
    return { scales: best.scales, power: best.power, costs: tried.map(({ cost }) => cost) };
  }

  /** trace(E H Eᵀ) */
  #cost(
    { weights, shape: [outputs, inputs], bits, blockSize, rowsEach }: ReturnType<typeof sample>,
    scales: Float32Array,
    { values }: InputStatistics,
  ): number {
    const scaled = scaleColumns(weights, scales);
    const errors = dequantize(roundToNearest(scaled, [outputs, inputs], bits, blockSize), inputs);
    for (let start = 0; start < errors.length; start += inputs) {
      for (let i = 0; i < inputs; i++) {
        errors[start + i] = errors[start + i]! / scales[i]! - weights[start + i]!;
      }
    }
    const passed = new Tensor(new Float32Array(outputs * inputs), [outputs, inputs]);
    const hessian = new Tensor(values, [inputs, inputs]);
    this.#product.run(new Tensor(errors, [outputs, inputs]), hessian, passed, passed);
    let cost = 0;
    for (let i = 0; i < errors.length; i++) cost += errors[i]! * passed.data[i]!;
    return cost * rowsEach;
  }

  [Symbol.dispose](): void {
    this.#product[Symbol.dispose]();
  }
}

/** Rows of a matrix at equal distances, each counting for those that are left out. */
function sample(matrix: ScaledMatrix): ScaledMatrix & { rowsEach: number } {
  const [outputs, inputs] = matrix.shape;
  const rows = Math.min(outputs, sampledRows);
  const weights = new Float32Array(rows * inputs);
  for (let i = 0; i < rows; i++) {
    const from = Math.floor((i * outputs) / rows) * inputs;
    weights.set(matrix.weights.subarray(from, from + inputs), i * inputs);
  }
  return { ...matrix, weights, shape: [rows, inputs], rowsEach: outputs / rows };
}

/** Inputs that are smaller than this share of the mean count as so large: none is scaled to nothing. */
const leastShare = 1e-4;

/** mean|x|^power, around 1: the largest and the smallest are each other's inverse. */
function scalesOf(magnitudes: ArrayLike<number>, power: number): Float32Array {
  const mean = Array.from(magnitudes).reduce((sum, value) => sum + value / magnitudes.length, 0);
  if (mean === 0) return new Float32Array(magnitudes.length).fill(1);
  const raised = Float64Array.from(magnitudes, (value) => Math.max(value / mean, leastShare) ** power);
  const middle = Math.sqrt(raised.reduce((a, b) => Math.max(a, b)) * raised.reduce((a, b) => Math.min(a, b)));
  return Float32Array.from(raised, (value) => value / middle);
}

/** @param matrix row-major [rows, factors.length] */
export function scaleColumns(matrix: Float32Array, factors: Float32Array): Float32Array {
  const columns = factors.length;
  const scaled = new Float32Array(matrix.length);
  for (let start = 0; start < matrix.length; start += columns) {
    for (let i = 0; i < columns; i++) scaled[start + i] = matrix[start + i]! * factors[i]!;
  }
  return scaled;
}
