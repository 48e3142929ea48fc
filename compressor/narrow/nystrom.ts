import { Tensor } from '../../artifact/onnxruntime/tensor.ts';
import { Gemm } from '../onnx/gemm.ts';
import { ridgeLeverageScores, solveRidge } from '../patch/ridge.ts';

/** An MLP of fewer columns: which of them are left, and how they are put together. */
export interface NarrowedMlp {
  /** Rows of gate and up that stay, ascending. */
  kept: Int32Array;
  /** Row-major [outputs, kept]: the down projection fitted to them. */
  down: Float32Array;
}

/** Share of the mean diagonal that is added where leverage is measured. */
const leverageRidge = 1e-2;

/** Likewise where the down projection is fitted. */
const fitRidge = 1e-3;

/**
 * The Nyström approximation of an MLP's last product (MoDeGPT's module of type I, arXiv 2408.09632, algorithm 1). With
 * C the correlation of the activations z = activation(gate x) * (up x), the columns of the highest ridge leverage,
 * diagonal of C (C + ridge)⁻¹, are kept: S picks them. The down projection that loses least with these alone is
 * W C S (Sᵀ C S + ridge)⁻¹: what the others would have added, as far as the kept ones tell it. (The paper takes the
 * pseudo-inverse there, which few tokens leave at the mercy of noise. Ridges follow the size of C.)
 *
 * @param correlation C, row-major [size, size]: sum over tokens of z zᵀ
 * @param size number of activations
 * @param down W, row-major [outputs, size]
 * @param keep how many columns stay, 1 to `size`
 */
export function nystrom(
  correlation: Float32Array,
  size: number,
  down: Float32Array,
  keep: number,
): NarrowedMlp {
  const outputs = down.length / size;
  const scores = ridgeLeverageScores(Float64Array.from(correlation), size, leverageRidge);
  const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]! || a - b);
  const kept = Int32Array.from(order.slice(0, keep)).sort();

  const rows = pickRows(correlation, size, kept); // Sᵀ C
  const right = new Tensor(new Float32Array(keep * outputs), [keep, outputs]);
  const gemm = new Gemm({ transB: true });
  try {
    gemm.run(new Tensor(rows, [keep, size]), new Tensor(down, [outputs, size]), right, right);
  } finally {
    gemm[Symbol.dispose]();
  }
  const gram = new Float64Array(keep * keep);
  for (let i = 0; i < keep; i++)
    for (let j = 0; j < keep; j++) gram[i * keep + j] = rows[i * size + kept[j]!]!;
  const solution = solveRidge(gram, Float64Array.from(right.data), keep, outputs, fitRidge);
  const fitted = new Float32Array(outputs * keep);
  for (let i = 0; i < keep; i++)
    for (let output = 0; output < outputs; output++)
      fitted[output * keep + i] = solution[i * outputs + output]!;
  return { kept, down: fitted };
}

/** Some rows of a row-major matrix. */
export function pickRows(matrix: Float32Array, columns: number, rows: Int32Array): Float32Array {
  const picked = new Float32Array(rows.length * columns);
  for (const [i, row] of rows.entries())
    picked.set(matrix.subarray(row * columns, (row + 1) * columns), i * columns);
  return picked;
}
