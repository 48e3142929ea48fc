import type { Expression } from '../expression.ts';
import { matmul } from './matmul.ts';

/**
 * A linear map with a low-rank adapter, y = x Wᵀ + (x Aᵀ) Bᵀ + plus: three products, whose rules give all gradients.
 * No matrix of the size of `weight` is made for B A.
 *
 * @param x [rows, inputs]
 * @param weight [outputs, inputs]
 * @param down A, [rank, inputs]
 * @param up B, [outputs, rank]
 * @param plus [rows, outputs] or a bias [outputs]
 */
export function lowRankLinear(
  x: Expression,
  weight: Expression,
  down: Expression,
  up: Expression,
  plus?: Expression,
): Expression {
  const base = matmul(x, weight, { transposeB: true, ...(plus && { plus }) });
  return matmul(matmul(x, down, { transposeB: true }), up, { transposeB: true, plus: base });
}
