import { parseAdapter } from '../adapter/adapter.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import type { TextWindows } from '../evaluate/windows.ts';
import type { FoldMethod } from '../methods/method.ts';
import { fromStart, makePlan } from '../plan/make-plan.ts';
import { withNearestBlocks } from '../plan/nearest-blocks.ts';
import type { FoldPlan } from '../plan/plan.ts';
import { rankers } from '../rank/index.ts';
import { nearestPlan } from './budget.ts';

/** The first and the last layer stay: all that is known says that they matter most. */
const keptLayers = [0, -1];

/** Layers of a model of so many that may go. */
export function removableOf(layers: number): number {
  return layers - new Set(fromStart(keptLayers, layers)).size;
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
  const { architecture, name } = checkpoint;
  const layers = architecture.layers.length;
  const keep = fromStart(keptLayers, layers);
  return nearestPlan(architecture, budget, removableOf(layers), async (removed) => {
    const ranking = await rankers[method.rank]!(checkpoint, text, {
      remove: removed,
      keep,
      ...options,
    });
    const plan = makePlan(
      { name, layers },
      { method: method.rank, ...ranking },
      {
        remove: removed / layers,
        share: 1,
        weights: 'first',
        quantize,
        patch: method.patch,
        refill: method.refill ?? 'none',
        adapter: parseAdapter(method.adapter ?? 'none'),
        keep,
      },
    );
    return method.refill === 'nearest' ? withNearestBlocks(checkpoint, plan, options) : plan;
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
