import type { FoldPlan, PlannedLayer } from '../plan/plan.ts';

/** What decides where something stands in for removed layers. */
export type PatchedPlan = Pick<FoldPlan, 'layers' | 'patch' | 'checkpointLayers'>;

/** The kept layers of a plan that a linear patch follows. */
export function patchedLayers(plan: Pick<FoldPlan, 'layers' | 'patch'>, checkpointLayers: number): number[] {
  return plan.patch === 'linear' ? cutsOf(plan.layers, checkpointLayers) : [];
}

/** The kept layers of a plan that are trained to do what they and the layers removed after them did. */
export function fittedLayers(plan: PatchedPlan): number[] {
  return plan.patch === 'block' ? cutsOf(plan.layers, plan.checkpointLayers) : [];
}

/** A layer that is to be trained by itself although others run its block, which that would change. */
export function sharedFittedLayer(plan: PatchedPlan): number | undefined {
  const { layers } = plan;
  return fittedLayers(plan).find((index) =>
    layers.some(({ block }, other) => other !== index && block === layers[index]!.block),
  );
}

/** Whether a plan has parts that are fitted on a text. */
export function fitsText(plan: PatchedPlan & Pick<FoldPlan, 'widths'>): boolean {
  if (plan.widths) return true;
  return (plan.patch ?? 'none') !== 'none' && cutsOf(plan.layers, plan.checkpointLayers).length > 0;
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
