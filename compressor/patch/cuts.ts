import type { FoldPlan, PlannedLayer } from '../plan/plan.ts';

/** The kept layers of a plan that a patch follows. */
export function patchedLayers(plan: Pick<FoldPlan, 'layers' | 'patch'>, checkpointLayers: number): number[] {
  return plan.patch === 'linear' ? cutsOf(plan.layers, checkpointLayers) : [];
}

/** The kept layers after which layers of the checkpoint are missing, or come back with another's block. */
export function cutsOf(
  layers: readonly Pick<PlannedLayer, 'source' | 'refill'>[],
  checkpointLayers: number,
): number[] {
  const next = (index: number) => nextKept(layers, index)?.source ?? checkpointLayers;
  const kept = [...layers.keys()].filter((index) => !layers[index]!.refill);
  return kept.filter((index) => next(index) > layers[index]!.source + 1);
}

/** The layer after one of them that was not removed: what fills a cut again does not close it. */
export function nextKept<L extends Pick<PlannedLayer, 'refill'>>(
  layers: readonly L[],
  index: number,
): L | undefined {
  return layers.slice(index + 1).find(({ refill }) => !refill);
}
