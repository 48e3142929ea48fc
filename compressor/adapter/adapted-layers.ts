import type { Architecture } from '../checkpoint/architecture.ts';
import type { FoldPlan } from '../plan/plan.ts';
import { mixturesOf } from '../weights/mixture.ts';
import { adapterParameters } from './adapter.ts';

/** What decides which layers have adapters, and of which form. */
export type AdaptedPlan = Pick<FoldPlan, 'layers' | 'adapter'> &
  Partial<Pick<FoldPlan, 'weights' | 'scores'>>;

/** The layers whose block is not their own: places in `layers` whose weights are another layer's, or mixed. */
export function adaptedLayers({ layers, adapter, weights = 'first', scores }: AdaptedPlan): number[] {
  if (!adapter) return [];
  const mixtures = mixturesOf({ layers, weights, ...(scores && { scores }) });
  const isOwn = ({ source, block }: FoldPlan['layers'][number]) =>
    mixtures[block]!.length === 1 && mixtures[block]![0]!.layer === source;
  return [...layers.keys()].filter((index) => !isOwn(layers[index]!));
}

/** Parameters of all adapters together. */
export function adaptersParameters(a: Architecture, plan: AdaptedPlan): number {
  return plan.adapter ? adaptedLayers(plan).length * adapterParameters(a, plan.adapter) : 0;
}
