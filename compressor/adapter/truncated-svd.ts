import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import { Gemm } from '../onnx/gemm.ts';
import { normalNumbers } from '../random.ts';
import { eigenOfSymmetric } from './symmetric-eigen.ts';

/** up down is nearly the best approximation of its rank. */
export interface LowRank {
  /** Row-major [rank, inputs]. */
  down: Float32Array;
  /** Row-major [outputs, rank]. */
  up: Float32Array;
}

/** Directions looked for beyond the rank, and how often the matrix is applied to them both ways. */
const extraDirections = 16;
const iterations = 6;

/**
 * The best rank-`rank` approximation of a matrix, by subspace iteration from random directions (Halko,
 * Martinsson, Tropp, arXiv 0909.4061, algorithms 4.4 and 5.1). Singular values go half to each side, so that
 * both are trained at one rate. The directions are the same every time.
 * @param matrix row-major [outputs, inputs]
 */
export class TruncatedSvd implements Disposable {
  readonly #product = new Gemm();
  readonly #transposed = new Gemm({ transB: true });

  run(matrix: Float32Array, [outputs, inputs]: [number, number], rank: number): LowRank {
    const count = Math.min(rank + extraDirections, outputs, inputs);
    const a = new Tensor(matrix, [outputs, inputs]);
    // Directions are rows: [count, outputs] and [count, inputs].
    const left = (right: Float32Array) => multiplied(this.#transposed, right, [count, inputs], a, outputs);
    const right = (left: Float32Array) => multiplied(this.#product, left, [count, outputs], a, inputs);
    let basis = orthonormal(left(Float32Array.from({ length: count * inputs }, normalNumbers(1))), count);
    for (let i = 0; i < iterations; i++) basis = orthonormal(left(orthonormal(right(basis), count)), count);
    const coefficients = right(basis); // A = basisᵀ coefficients, nearly
    const { values, vectors } = eigenOfSymmetric(gramOf(coefficients, count), count);
    const down = new Float32Array(rank * inputs);
    const up = new Float32Array(outputs * rank);
    for (let r = 0; r < Math.min(rank, count); r++) {
      const singular = Math.sqrt(Math.max(values[r]!, 0));
      if (singular === 0) break;
      const half = Math.sqrt(singular);
      for (let k = 0; k < count; k++) {
        const weight = vectors[r * count + k]!;
        for (let i = 0; i < inputs; i++)
          down[r * inputs + i]! += (weight * coefficients[k * inputs + i]!) / half;
        for (let o = 0; o < outputs; o++) up[o * rank + r]! += weight * basis[k * outputs + o]! * half;
      }
    }
    return { down, up };
  }

  [Symbol.dispose](): void {
    this.#product[Symbol.dispose]();
    this.#transposed[Symbol.dispose]();
  }
}

function multiplied(
  gemm: Gemm,
  rows: Float32Array,
  shape: [number, number],
  a: Tensor,
  columns: number,
): Float32Array {
  const out = new Tensor(new Float32Array(shape[0] * columns), [shape[0], columns]);
  gemm.run(new Tensor(rows, shape), a, out, out);
  return out.data;
}

/** Gram-Schmidt over rows, twice, since once loses what nearly parallel ones have of their own. */
function orthonormal(rows: Float32Array, count: number): Float32Array {
  const length = rows.length / count;
  for (let r = 0; r < count; r++) {
    const row = rows.subarray(r * length, (r + 1) * length);
    const before = Math.sqrt(dot(row, row));
    for (let pass = 0; pass < 2; pass++) {
      for (let s = 0; s < r; s++) {
        const other = rows.subarray(s * length, (s + 1) * length);
        const along = dot(row, other);
        for (let i = 0; i < length; i++) row[i]! -= along * other[i]!;
      }
    }
    const size = Math.sqrt(dot(row, row));
    // What is left of a row that the others span is rounding: it is no direction of the matrix.
    const factor = size > 1e-6 * before ? 1 / size : 0;
    for (let i = 0; i < length; i++) row[i]! *= factor;
  }
  return rows;
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** Products of all pairs of rows, [count, count]. */
export function gramOf(rows: Float32Array, count: number): Float64Array {
  const length = rows.length / count;
  const row = (r: number) => rows.subarray(r * length, (r + 1) * length);
  const products = new Float64Array(count * count);
  for (let r = 0; r < count; r++) {
    for (let s = 0; s <= r; s++) {
      products[r * count + s] = dot(row(r), row(s));
      products[s * count + r] = products[r * count + s]!;
    }
  }
  return products;
}
