import { UsageError } from '../../artifact/errors.ts';
import { parseAdapter } from '../adapter/adapter.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import type { TextWindows } from '../evaluate/windows.ts';
import type { FoldMethod } from '../methods/method.ts';
import { fromStart, makePlan, type PlanOptions } from '../plan/make-plan.ts';
import { withNearestBlocks } from '../plan/nearest-blocks.ts';
import type { FoldPlan } from '../plan/plan.ts';
import { canNarrow, largestSaving, layersToRemove, makeSizedPlan } from '../plan/widths.ts';
import { withImportance } from '../rank/importance.ts';
import { rankers } from '../rank/index.ts';
import { halfwise, searchRank } from '../rank/summaries.ts';
import { searchPlan } from '../search/search-plan.ts';
import { distinctBlockParameters, layersOf, nearestPlan, parametersLeft, savedShare } from './budget.ts';

/** The first and the last layer stay: all that is known says that they matter most. */
const keptLayers = [0, -1];

/** Layers of a model of so many that may go. */
function removableOf(layers: number): number {
  return layers - new Set(fromStart(keptLayers, layers)).size;
}

function optionsOf({ patch, refill, adapter }: FoldMethod, quantize: string): Omit<PlanOptions, 'remove'> {
  return {
    share: 1,
    weights: 'first',
    quantize,
    patch,
    refill: refill ?? 'none',
    adapter: parseAdapter(adapter ?? 'none'),
    keep: keptLayers,
  };
}

/**
 * Tells before any work that a method cannot save so much.
 * @throws UsageError
 */
export function checkBudget({ architecture, name }: Checkpoint, method: FoldMethod, budget: number): void {
  const { length } = architecture.layers;
  const { shrink = 'depth' } = method;
  if (shrink === 'depth' || !(budget > 0 && budget < 1)) {
    layersOf(architecture, budget, removableOf(length));
    return;
  }
  if (shrink === 'both') {
    if (canNarrow(architecture, { remove: budget, shrink })) return;
    throw new UsageError(
      `A budget of ${budget} is more than a third in layers and the rest off the MLPs of ${name} can give: save less, or ` +
        'leave that method out.',
    );
  }
  const most = largestSaving(architecture);
  if (budget <= most) return;
  throw new UsageError(
    `A budget of ${budget} is more than the MLPs of ${name} can give, which a method that keeps all layers takes it ` +
      `from: save ${Math.floor(1000 * most) / 1000} or less, or leave that method out.`,
  );
}

/** The plan by which a method saves about so much of the distinct block parameters. */
export async function methodPlan(
  checkpoint: Checkpoint,
  method: FoldMethod,
  budget: number,
  quantize: string,
  text: TextWindows,
  options: EvaluateOptions,
): Promise<FoldPlan> {
  const { architecture } = checkpoint;
  const layers = architecture.layers.length;
  const keep = fromStart(keptLayers, layers);
  if (method.rank === searchRank) return searchedPlan(checkpoint, method, budget, quantize, text, options);
  const fold = optionsOf(method, quantize);
  const ranked = async (removed: number, share?: number) => ({
    method: method.rank,
    ...(await rankers[method.rank]!(checkpoint, text, {
      ...{ remove: removed, keep, ...options },
      ...(share !== undefined && { share }),
    })),
  });
  if (halfwise.has(method.rank)) {
    const removed = layersOf(architecture, budget, removableOf(layers)); // the same budgets are refused
    return makeSizedPlan(checkpoint, await ranked(removed, budget), { ...fold, remove: removed / layers });
  }
  if (method.shrink === 'width') {
    checkBudget(checkpoint, method, budget);
    return makeSizedPlan(checkpoint, await ranked(0), { ...fold, shrink: 'width', remove: budget });
  }
  if (method.shrink === 'both') {
    checkBudget(checkpoint, method, budget);
    const removed = layersToRemove({ remove: budget, shrink: 'both' }, layers);
    const ranking = await withImportance(checkpoint, text, method, await ranked(removed), options);
    const planOf = (remove: number) =>
      makeSizedPlan(checkpoint, ranking, { ...fold, shrink: 'both', remove });
    const first = planOf(budget);
    // Patches count: MLPs give what they take up.
    return planOf(budget + Math.max(0, budget - savedShare(architecture, first)));
  }
  return nearestPlan(architecture, budget, removableOf(layers), async (removed) => {
    const plan = makeSizedPlan(checkpoint, await ranked(removed), { ...fold, remove: removed / layers });
    return method.refill === 'nearest' ? withNearestBlocks(checkpoint, plan, options) : plan;
  });
}

/** What the search finds in the parameters that are left, and half a block more, as `nearestPlan` allows the others. */
function searchedPlan(
  checkpoint: Checkpoint,
  method: FoldMethod,
  budget: number,
  quantize: string,
  text: TextWindows,
  { onProgress, signal }: EvaluateOptions,
): Promise<FoldPlan> {
  const { architecture: a } = checkpoint;
  layersOf(a, budget, removableOf(a.layers.length)); // the same budgets are refused
  return searchPlan(checkpoint, text, {
    size: {
      of: (plan) => distinctBlockParameters(a, plan),
      limit: parametersLeft(a, budget),
      inWords: (parameters) => `${Math.floor(parameters)} parameters of blocks`,
    },
    options: optionsOf(method, quantize),
    ...(onProgress && { onProgress: (_, done, total) => onProgress(done, total) }),
    ...(signal && { signal }),
  });
}

/** The plan that folds nothing. */
export function wholePlan({ architecture, name }: Checkpoint, quantize: string): FoldPlan {
  const layers = architecture.layers.length;
  return makePlan(
    { name, layers },
    { method: 'none' },
    { remove: 0, share: 1, weights: 'first', quantize, keep: [] },
  );
}
