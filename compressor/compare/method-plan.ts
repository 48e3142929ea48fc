import { parseAdapter } from '../adapter/adapter.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import type { TextWindows } from '../evaluate/windows.ts';
import type { FoldMethod } from '../methods/method.ts';
import { fromStart, makePlan, type PlanOptions } from '../plan/make-plan.ts';
import { withNearestBlocks } from '../plan/nearest-blocks.ts';
import type { FoldPlan } from '../plan/plan.ts';
import { makeSizedPlan, widthShare } from '../plan/widths.ts';
import { rankers } from '../rank/index.ts';
import { halfwise, searchRank } from '../rank/summaries.ts';
import { searchPlan } from '../search/search-plan.ts';
import { distinctBlockParameters, layersOf, nearestPlan, parametersLeft } from './budget.ts';

/** The first and the last layer stay: all that is known says that they matter most. */
const keptLayers = [0, -1];

/** Layers of a model of so many that may go. */
export function removableOf(layers: number): number {
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
    const sized: PlanOptions = { ...fold, shrink: 'width', remove: budget };
    widthShare(architecture, sized); // what cannot be is told before the work
    return makeSizedPlan(checkpoint, await ranked(0), sized);
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
