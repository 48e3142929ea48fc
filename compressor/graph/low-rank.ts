import type { GraphBuilder } from '../onnx/graph.ts';

/**
 * product + (x downᵀ) upᵀ.
 * @param down [rank, inputs]
 * @param up [outputs, rank]
 */
export function emitLowRank(
  g: GraphBuilder,
  x: string,
  product: string,
  { down, up }: { down: string; up: string },
): string {
  const transposed = { domain: 'com.microsoft', attributes: { transB: 1 } };
  const narrow = g.node('FusedMatMul', [x, down], transposed);
  return g.node('Add', [product, g.node('FusedMatMul', [narrow, up], transposed)]);
}
