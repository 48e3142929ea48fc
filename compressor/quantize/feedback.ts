import { InvalidDataError } from '../../artifact/errors.ts';
import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import { Gemm } from '../onnx/gemm.ts';

/** Rows factored at once: below it the products are too small for the cores, above it too much is scalar. */
const panel = 64;

/** Factorings tried, each with ten times the damping of the one before, until one has no negative pivot. */
const attempts = 4;

/**
 * How a rounding error in one input's weights is best made up for by those of the inputs after it. With
 * H = (V + I)ᵀ D (V + I), V strictly lower triangular, the weights of input k are rounded after adding the
 * errors of the inputs before it, each times V[k, j]; the cost of all is then Σ D[k] · (what rounding
 * input k changed)². This is GPTQ's rule (arXiv 2210.17323) in the form of LDLQ (arXiv 2307.13304), which
 * needs no inverse of H.
 */
export interface Feedback {
  /** Number of inputs. */
  size: number;
  /** V, row-major [size, size]; zero on and above the diagonal. */
  factors: Float32Array;
  /** D, [size] */
  costs: Float32Array;
}

/**
 * @param hessian row-major [size, size]
 * @param damping share of the mean diagonal that is added to it, against errors fitted to few tokens
 */
export function feedbackOf(hessian: Float32Array, size: number, damping: number): Feedback {
  let mean = 0;
  for (let i = 0; i < size; i++) mean += hessian[i * size + i]! / size;
  // Inputs that are always zero are told nothing about: each weight is rounded by itself.
  if (mean === 0)
    return { size, factors: new Float32Array(size * size), costs: new Float32Array(size).fill(1) };
  const product = new Gemm({ transA: true, alpha: -1 });
  try {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const root = factor(hessian, size, mean * damping * 10 ** attempt, product);
      if (root) return unitForm(root, size);
    }
  } finally {
    product[Symbol.dispose]();
  }
  throw new InvalidDataError(
    'The inputs of a matrix cannot be calibrated on: the model computes no numbers. Is the checkpoint whole?',
  );
}

/**
 * T with TᵀT = H + damp I, T lower triangular: Cholesky from the last input to the first, a panel of rows
 * at a time. Undefined where a pivot is not positive.
 */
function factor(hessian: Float32Array, size: number, damp: number, product: Gemm): Float32Array | undefined {
  const root = new Float32Array(size * size);
  for (let start = Math.floor((size - 1) / panel) * panel; start >= 0; start -= panel) {
    const end = Math.min(start + panel, size);
    const count = end - start;
    const rows = cut(hessian, size, start, end, 0, end);
    for (let r = 0; r < count; r++) rows[r * end + start + r]! += damp;
    if (end < size) {
      const below = new Tensor(cut(root, size, end, size, 0, end), [size - end, end]);
      const columns = new Tensor(cut(root, size, end, size, start, end), [size - end, count]);
      const y = new Tensor(rows, [count, end]);
      product.run(columns, below, y, y);
    }
    const corner = factorCorner(rows, start, count);
    if (!corner) return undefined;
    // Back substitution over whole rows: corner · T = rows.
    for (let r = count - 1; r >= 0; r--) {
      const own = rows.subarray(r * end, r * end + start);
      for (let s = r + 1; s < count; s++) {
        const weight = corner[r * count + s]!;
        const other = (start + s) * size;
        for (let i = 0; i < start; i++) own[i]! -= weight * root[other + i]!;
      }
      const at = (start + r) * size;
      const pivot = 1 / corner[r * count + r]!;
      for (let i = 0; i < start; i++) root[at + i] = own[i]! * pivot;
      for (let s = 0; s <= r; s++) root[at + start + s] = corner[s * count + r]!;
    }
  }
  return root;
}

/** Rows and columns of a square matrix, copied together. */
function cut(
  matrix: Float32Array,
  size: number,
  firstRow: number,
  endRow: number,
  firstColumn: number,
  endColumn: number,
): Float32Array {
  const width = endColumn - firstColumn;
  const part = new Float32Array((endRow - firstRow) * width);
  for (let row = firstRow; row < endRow; row++) {
    const from = row * size;
    part.set(matrix.subarray(from + firstColumn, from + endColumn), (row - firstRow) * width);
  }
  return part;
}

/** R, upper triangular, with R Rᵀ the square of `rows` on the diagonal; [count, count]. */
function factorCorner(rows: Float32Array, start: number, count: number): Float64Array | undefined {
  const end = start + count;
  const corner = new Float64Array(count * count);
  for (let j = count - 1; j >= 0; j--) {
    for (let i = j; i >= 0; i--) {
      let value = rows[i * end + start + j]!;
      for (let k = j + 1; k < count; k++) value -= corner[i * count + k]! * corner[j * count + k]!;
      if (i === j) {
        if (!(value > 0)) return undefined;
        corner[j * count + j] = Math.sqrt(value);
      } else {
        corner[i * count + j] = value / corner[j * count + j]!;
      }
    }
  }
  return corner;
}

function unitForm(root: Float32Array, size: number): Feedback {
  const costs = new Float32Array(size);
  for (let k = 0; k < size; k++) {
    const pivot = root[k * size + k]!;
    costs[k] = pivot * pivot;
    for (let j = 0; j < k; j++) root[k * size + j]! /= pivot;
    root[k * size + k] = 0;
  }
  return { size, factors: root, costs };
}
