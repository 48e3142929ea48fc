import { withResource } from '../../artifact/dispose.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import { visitDepths } from '../forward/depth-states.ts';
import { keptAbove } from './kept-above.ts';
import { type Centred, LinearCka } from './linear-cka.ts';
import { candidatesOf, type Ranker } from './ranker.ts';

/**
 * Clusters of neighbours whose outputs are alike by linear CKA, of which the first layer stays (CRaSh, arXiv
 * 2310.15477). Holds every layer's output: layers x tokens x width numbers.
 */
export const clusters: Ranker = async (checkpoint, { windows }, request = {}) => {
  const { width, layers } = checkpoint.architecture;
  const alike = layers.map(() => new Array<number>(layers.length).fill(1));
  await withResource(new LinearCka(width), async (cka) => {
    const outputs: Centred[] = [];
    const visit = async (states: Float32Array[], depth: number) => {
      if (depth === 0) return;
      const output = cka.centred(states);
      for (const [before, other] of outputs.entries()) {
        await betweenSteps(request.signal);
        alike[before]![depth - 1] = alike[depth - 1]![before] = cka.of(other, output);
      }
      outputs.push(output);
    };
    await visitDepths(checkpoint, windows, visit, request);
  });
  const groups = clusterNeighbours(alike, candidatesOf(checkpoint, request), request.remove ?? 0);
  const scores = layers.map(() => 1);
  for (const [first, ...others] of groups)
    for (const layer of others) scores[layer] = 1 - alike[first!]![layer]!;
  return {
    scores: keptAbove(
      scores,
      groups.flatMap((group) => group.slice(1)),
    ),
  };
};

/**
 * Joins the two neighbouring clusters that are most alike, by the mean over their pairs, until `remove` layers
 * are no longer the first of theirs.
 * @param alike symmetric, [layers][layers]
 * @param removable layers that may be another than the first
 */
export function clusterNeighbours(
  alike: readonly (readonly number[])[],
  removable: readonly number[],
  remove: number,
): number[][] {
  const groups = [...alike.keys()].map((layer) => [layer]);
  const may = new Set(removable);
  const mean = (a: number[], b: number[]) =>
    a.reduce((sum, i) => sum + b.reduce((part, j) => part + alike[i]![j]!, 0), 0) / a.length / b.length;
  for (let joined = 0; joined < remove; joined++) {
    let best = -1;
    for (let i = 0; i + 1 < groups.length; i++) {
      if (!may.has(groups[i + 1]![0]!)) continue;
      if (best < 0 || mean(groups[i]!, groups[i + 1]!) > mean(groups[best]!, groups[best + 1]!)) best = i;
    }
    if (best < 0) break;
    groups.splice(best, 2, [...groups[best]!, ...groups[best + 1]!]);
  }
  return groups;
}
