import { UsageError } from '../../artifact/errors.ts';
import type { Half } from '../../artifact/manifest.ts';
import { type AdaptedPlan, adaptersParameters } from '../adapter/adapted-layers.ts';
import { type Architecture, architectureOfBlock, storedArchitecture } from '../checkpoint/architecture.ts';
import { halfOfBlock } from '../graph/halves.ts';
import { patchedLayers } from '../patch/cuts.ts';
import type { FoldPlan } from '../plan/plan.ts';
import { blocksInOrder } from '../student/student.ts';
import { blockParameters, patchParameters } from '../weights/block.ts';

/** What decides how much of a model's blocks a plan stores. */
export type SavingPlan = AdaptedPlan & Pick<FoldPlan, 'patch' | 'widths'>;

/** Parameters of distinct blocks, and of patches and adapters, which are stored in the place of others. */
export function distinctBlockParameters(a: Architecture, plan: SavingPlan): number {
  const patches = patchedLayers(plan, a.layers.length).length;
  const added = patches * patchParameters(a) + adaptersParameters(a, plan);
  const stored = (block: number) => {
    return storedBlock(architectureOfBlock(a, plan.widths, block), halfOfBlock(plan.layers, block));
  };
  return blocksInOrder(plan).reduce((sum, block) => sum + stored(block), added);
}

/** Share of the checkpoint's block parameters that a plan saves. */
export function savedShare(a: Architecture, plan: SavingPlan): number {
  return 1 - distinctBlockParameters(a, plan) / (a.layers.length * storedBlock(a));
}

/** Parameters of one block, or of a half of it, without what heads are padded with. */
function storedBlock(a: Architecture, half?: Half): number {
  return blockParameters(storedArchitecture(a), half);
}

/** Parameters of distinct blocks that a budget leaves, rounded up by as much as `nearestPlan` may miss it: half a block. */
export function parametersLeft(a: Architecture, budget: number): number {
  return ((1 - budget) * a.layers.length + 0.5) * storedBlock(a);
}

/**
 * Layers that a budget takes, where nothing stands in for them.
 * @param removable layers that may go
 * @throws UsageError for a budget of less than half a layer, or beyond what may go
 */
export function layersOf(a: Architecture, budget: number, removable: number): number {
  const layers = a.layers.length;
  const count = Math.round(budget * layers);
  if (!(budget > 0 && budget < 1))
    throw new UsageError(`A budget is a share between 0 and 1, not ${budget}.`);
  if (count < 1)
    throw new UsageError(`A budget of ${budget} is less than half of one of ${layers} layers: save more.`);
  if (count <= removable) return count;
  throw new UsageError(
    `A budget of ${budget} takes ${count} of ${layers} layers, and only ${removable} may go: save less.`,
  );
}

/**
 * Makes the plan whose saving is nearest to the budget. Patches count: where they take up half a layer or
 * more, one layer more goes.
 * @param planFor makes a plan without so many layers
 * @throws UsageError as `layersOf`
 */
export async function nearestPlan<P extends SavingPlan>(
  a: Architecture,
  budget: number,
  removable: number,
  planFor: (removed: number) => Promise<P>,
): Promise<P> {
  const least = layersOf(a, budget, removable);
  const first = await planFor(least);
  const missing = budget - savedShare(a, first);
  if (missing <= 0.5 / a.layers.length || least + 1 > removable) return first;
  const second = await planFor(least + 1);
  return Math.abs(budget - savedShare(a, second)) < missing ? second : first;
}
