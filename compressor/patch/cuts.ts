import type { FoldPlan } from '../plan/plan.ts';

/** The kept layers of a plan that a patch follows. */
export function patchedLayers(plan: Pick<FoldPlan, 'layers' | 'patch'>, checkpointLayers: number): number[] {
  return plan.patch === 'linear' ? cutsOf(plan.layers, checkpointLayers) : [];
}

/** The kept layers after which layers of the checkpoint are missing. */
export function cutsOf(layers: readonly { source: number }[], checkpointLayers: number): number[] {
  const next = (index: number) => layers[index + 1]?.source ?? checkpointLayers;
  return [...layers.keys()].filter((index) => next(index) > layers[index]!.source + 1);
}
