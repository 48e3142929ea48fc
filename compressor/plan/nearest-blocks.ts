import { withResource } from '../../artifact/dispose.ts';
import { eigenOfSymmetric } from '../adapter/symmetric-eigen.ts';
import { gramOf, TruncatedSvd } from '../adapter/truncated-svd.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import { type BlockMatrix, blockMatrices, matrixShape } from '../graph/layer.ts';
import { readMatrix } from '../weights/block.ts';
import { joined } from '../weights/joined.ts';
import { type Mixture, mixturesOf } from '../weights/mixture.ts';
import type { FoldPlan } from './plan.ts';

/**
 * Rank of the metric where layers have no low-rank matrices, and at most: the time of a pair grows with its cube,
 * and what lies beyond has small singular values.
 */
const mostRank = 32;

/** A matrix near another one: the sum of `rank` outer products of rows of `left` and `right`. */
interface OuterProducts {
  /** Row-major [rank, outputs]. */
  left: Float32Array;
  /** Row-major [rank, inputs]. */
  right: Float32Array;
}

/**
 * Lets every removed layer i that comes back run the kept block j which, given low-rank matrices of its own, is
 * nearest to what the layer was: the argmin over j of |Ŵ_i - (Ŵ_j + Δ_{i-j})|, the Frobenius norm over all of a
 * block's matrices (FlexiGPT, arXiv 2501.14713). Ŵ is the best approximation of rank r; between full matrices, which
 * are nearly uncorrelated, the block of the smallest norm would be nearest to every layer. Δ_{i-j} is taken for what
 * the adapter starts with, the best rank-r approximation of the difference: then the metric is what the adapter
 * cannot make up for. (A mean of the differences at the distance i - j would make the farthest pair, the only one
 * of its distance, a perfect match.) r is the adapter's rank.
 * @param plan as `makePlan` gives it; one without layers that come back is left as it is
 */
export async function withNearestBlocks(
  checkpoint: Checkpoint,
  plan: FoldPlan,
  options: EvaluateOptions = {},
): Promise<FoldPlan> {
  const returning = plan.layers.filter(({ refill }) => refill).map(({ source }) => source);
  if (returning.length === 0) return plan;
  const blocks = mixturesOf(plan);
  const rank = Math.min(plan.adapter?.rank || mostRank, mostRank);
  const errors = new Map(returning.map((layer) => [layer, new Float64Array(blocks.length)]));
  const total = blockMatrices.length * (blocks.length + returning.length);
  let done = 0;
  await withResource(new TruncatedSvd(), async (svd) => {
    const nearly = async (mixture: Mixture, matrix: BlockMatrix) => {
      await betweenSteps(options.signal);
      const shape = matrixShape(checkpoint.architecture, matrix);
      const { down, up } = svd.run(await readMatrix(checkpoint, mixture, matrix), shape, rank);
      options.onProgress?.(++done, total);
      return { left: transposed(up, rank), right: down };
    };
    for (const matrix of blockMatrices) {
      const kept: OuterProducts[] = [];
      for (const mixture of blocks) kept.push(await nearly(mixture, matrix));
      for (const [layer, sums] of errors) {
        const own = await nearly([{ layer, factor: 1 }], matrix);
        for (const [block, other] of kept.entries()) sums[block]! += errorBeyond(own, other, rank);
      }
    }
  });
  const nearest = (layer: number) => {
    const sums = errors.get(layer)!;
    return sums.indexOf(Math.min(...sums));
  };
  return {
    ...plan,
    layers: plan.layers.map((layer) => (layer.refill ? { ...layer, block: nearest(layer.source) } : layer)),
  };
}

/** The squared Frobenius norm of what is left of a - b without its best approximation of a rank. */
function errorBeyond(a: OuterProducts, b: OuterProducts, rank: number): number {
  const left = joined([a.left, b.left.map((value) => -value)]);
  const count = (left.length * rank) / a.left.length;
  // The difference is leftᵀ right, whose squared singular values are the eigenvalues of (left leftᵀ)(right rightᵀ):
  // of a small matrix, made symmetric by the root of one factor.
  const { values, vectors } = eigenOfSymmetric(gramOf(left, count), count);
  const other = gramOf(joined([a.right, b.right]), count);
  const product = new Float64Array(count * count);
  for (let i = 0; i < count; i++) {
    const through = new Float64Array(count);
    for (let k = 0; k < count; k++)
      for (let l = 0; l < count; l++) through[l]! += vectors[i * count + k]! * other[k * count + l]!;
    for (let j = 0; j < count; j++) {
      let sum = 0;
      for (let l = 0; l < count; l++) sum += through[l]! * vectors[j * count + l]!;
      product[i * count + j] = sum * Math.sqrt(Math.max(values[i]!, 0) * Math.max(values[j]!, 0));
    }
  }
  const squares = eigenOfSymmetric(product, count).values;
  return squares.subarray(rank).reduce((sum, value) => sum + Math.max(value, 0), 0);
}

/** @param matrix row-major [rows, columns] @returns row-major [columns, rows] */
function transposed(matrix: Float32Array, columns: number): Float32Array {
  const rows = matrix.length / columns;
  return matrix.map((_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)]!);
}
