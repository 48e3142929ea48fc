import type { Architecture } from '../checkpoint/architecture.ts';
import type { FoldPlan } from '../plan/plan.ts';
import { mixturesOf } from '../weights/mixture.ts';
import { adapterParameters } from './adapter.ts';
import { poolsNumbers } from './adapter-pools.ts';

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

/** Parameters of all adapters together; those of pools once, whichever layers use them. */
export function adaptersParameters(a: Architecture, plan: AdaptedPlan): number {
  const pools = poolsOf(a, plan);
  if (!pools) return runAdaptersParameters(a, plan);
  const gains = adapterParameters(a, { gains: plan.adapter!.gains, rank: 0 });
  return adaptedLayers(plan).length * gains + pools.parameters;
}

/** Parameters of all adapters as they run, with the matrices that pools make of their shards. */
export function runAdaptersParameters(a: Architecture, plan: AdaptedPlan): number {
  return plan.adapter ? adaptedLayers(plan).length * adapterParameters(a, plan.adapter) : 0;
}

/** As `poolsNumbers`; undefined where layers share none. */
export function poolsOf(a: Architecture, plan: AdaptedPlan): ReturnType<typeof poolsNumbers> | undefined {
  const layers = adaptedLayers(plan).length;
  const { pool } = plan.adapter ?? {};
  return pool && layers > 0 ? poolsNumbers(a, { ...plan.adapter!, pool }, layers) : undefined;
}
