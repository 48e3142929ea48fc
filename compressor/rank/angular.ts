import { nearestRun } from './nearest-run.ts';
import type { Ranker } from './ranker.ts';

/**
 * The one run of neighbours whose ends are nearest by the angle between a token's states before and after it, as
 * a part of a half turn (arXiv 2403.17887). The paper takes the last token of each of many texts; here all
 * tokens of the windows count, of which there are few.
 */
export const angular: Ranker = (checkpoint, text, request = {}) =>
  nearestRun(checkpoint, text, request, { stays: 0, distance: halfTurns });

function halfTurns(cosine: number): number {
  return Math.acos(Math.min(Math.max(cosine, -1), 1)) / Math.PI;
}
