import { UsageError } from '../../artifact/errors.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { TextWindows } from '../evaluate/windows.ts';
import { visitDepths } from '../forward/depth-states.ts';
import { keptAbove } from './kept-above.ts';
import { candidatesOf, type Ranking, type RankRequest } from './ranker.ts';
import { rowCosines } from './row-cosines.ts';

interface RunMeasure {
  /** How many layers at the run's beginning belong to it and are not removed. */
  stays: number;
  /** Of a token's states at the run's ends, from their cosine; the mean over all tokens counts. */
  distance: (cosine: number) => number;
}

/**
 * The one run of neighbours, of `request.remove` layers and those that stay, whose ends are nearest. Holds the states
 * of one depth more than it has layers.
 * @throws UsageError where no run of so many layers may go
 */
export async function nearestRun(
  checkpoint: Checkpoint,
  { windows }: TextWindows,
  request: RankRequest,
  { stays, distance }: RunMeasure,
): Promise<Ranking> {
  const { width, layers } = checkpoint.architecture;
  const removed = Math.max(request.remove ?? 0, 1);
  const length = removed + stays;
  const removable = new Set(candidatesOf(checkpoint, request));
  const between = (a: Float32Array[], b: Float32Array[]) => {
    const distances = rowCosines(a, b, width).map(distance);
    return distances.reduce((sum, value) => sum + value, 0) / distances.length;
  };
  const depths: Float32Array[][] = [];
  const scores: number[] = [];
  let best: { run: number[]; distance: number } | undefined;
  const visit = (states: Float32Array[], depth: number) => {
    if (depth > 0) scores.push(between(depths[depth - 1]!, states));
    depths.push(states);
    const from = depth - length;
    if (from < 0) return;
    const run = Array.from({ length: removed }, (_, i) => from + stays + i);
    if (run.every((layer) => removable.has(layer))) {
      const found = between(depths[from]!, states);
      if (!best || found < best.distance) best = { run, distance: found };
    }
    depths[from] = []; // no run begins so early any more
  };
  await visitDepths(checkpoint, windows, visit, request);
  if (!request.remove) return { scores };
  if (!best) {
    throw new UsageError(
      `No run of ${removed} neighbouring layers may go: too many between them are kept. Remove fewer, or change --keep.`,
    );
  }
  const share = best.distance / length;
  const { run } = best;
  const chosen = layers.map((_, layer) => (run.includes(layer) ? share : scores[layer]!));
  return { scores: keptAbove(chosen, run) };
}
