import { UsageError } from '../../artifact/errors.ts';
import { visitDepths } from '../forward/depth-states.ts';
import { keptAbove } from './kept-above.ts';
import { candidatesOf, type Ranker } from './ranker.ts';
import { rowCosines } from './row-cosines.ts';

/**
 * The one run of neighbours whose ends are nearest: the angle between a token's states before and after it, as
 * a part of a half turn (arXiv 2403.17887). The paper takes the last token of each of many texts; here all
 * tokens of the windows count, of which there are few. Holds the states of `remove` + 1 depths.
 */
export const angular: Ranker = async (checkpoint, { windows }, request = {}) => {
  const { width, layers } = checkpoint.architecture;
  const length = Math.max(request.remove ?? 0, 1);
  const removable = new Set(candidatesOf(checkpoint, request));
  const depths: Float32Array[][] = [];
  const scores: number[] = [];
  let best: { from: number; distance: number } | undefined;
  const visit = (states: Float32Array[], depth: number) => {
    if (depth > 0) scores.push(angularDistance(depths[depth - 1]!, states, width));
    depths.push(states);
    const from = depth - length;
    if (from < 0) return;
    const run = Array.from({ length }, (_, i) => from + i);
    if (run.every((layer) => removable.has(layer))) {
      const distance = angularDistance(depths[from]!, states, width);
      if (!best || distance < best.distance) best = { from, distance };
    }
    depths[from] = []; // no run begins so early any more
  };
  await visitDepths(checkpoint, windows, visit, request);
  if (!request.remove) return { scores };
  if (!best) {
    throw new UsageError(
      `No run of ${length} neighbouring layers may go: too many between them are kept. Remove fewer, or change --keep.`,
    );
  }
  const { from, distance } = best;
  const chosen = layers.map((_, layer) =>
    layer >= from && layer < from + length ? distance / length : scores[layer]!,
  );
  return { scores: keptAbove(chosen, [...layers.keys()].slice(from, from + length)) };
};

/** Mean over all tokens, 0 to 1. */
function angularDistance(a: Float32Array[], b: Float32Array[], width: number): number {
  const angles = rowCosines(a, b, width).map((cosine) => Math.acos(Math.min(Math.max(cosine, -1), 1)));
  return angles.reduce((sum, angle) => sum + angle, 0) / angles.length / Math.PI;
}
