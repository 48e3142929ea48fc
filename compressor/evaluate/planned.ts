import { withResource } from '../../artifact/dispose.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import { embed } from '../forward/embed.ts';
import { HeadRunner } from '../forward/head-runner.ts';
import { LayerRunner } from '../forward/layer-runner.ts';
import { type FoldPlan, groupsOf } from '../plan/plan.ts';
import { readBlock, readNorms } from '../weights/block.ts';
import { mixtureOf } from '../weights/mixture.ts';
import { longestOf, type Quality, qualityOf, type TextWindows } from './windows.ts';

export interface EvaluateOptions {
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/** What `evaluatePlan` needs of a plan. */
export type LayerPlan = Pick<FoldPlan, 'layers' | 'weights' | 'scores'>;

/** The plan that folds nothing. */
export function identityPlan(layers: number): LayerPlan {
  return { layers: Array.from({ length: layers }, (_, i) => ({ source: i, block: i })), weights: 'first' };
}

/** Hidden states in memory at a time, in numbers: 256 MB, twice that while a layer runs. */
const maxStates = 64 * 2 ** 20;

/**
 * The quality of a checkpoint folded by a plan, in float32, before anything is written: layer by layer,
 * so that memory holds one block and the hidden states of so many windows as `maxStates` allows. A text of
 * more windows goes through the model in several passes.
 */
export async function evaluatePlan(
  checkpoint: Checkpoint,
  plan: LayerPlan,
  { windows, targets, tokens }: TextWindows,
  { signal, onProgress, statesAtATime = maxStates }: EvaluateOptions & { statesAtATime?: number } = {},
): Promise<Quality> {
  const size = longestOf(windows) * checkpoint.architecture.width;
  const step = Math.max(1, Math.floor(statesAtATime / size));
  const passes = Math.ceil(windows.length / step);
  const layers = plan.layers.length;
  let total = 0;
  await withResource(new HeadRunner(checkpoint), async (head) => {
    for (let pass = 0; pass < passes; pass++) {
      const part = <Item>(all: Item[]) => all.slice(pass * step, (pass + 1) * step);
      const states = await runPlan(checkpoint, plan, part(windows), {
        onProgress: (done) => onProgress?.(pass * layers + done, passes * layers),
        ...(signal && { signal }),
      });
      for (const losses of await head.losses(states, part(targets), signal)) {
        for (const loss of losses) total += loss;
      }
    }
  });
  return qualityOf(total, tokens);
}

/** Hidden states after the last layer, per window [tokens, width]. */
export async function runPlan(
  checkpoint: Checkpoint,
  plan: LayerPlan,
  windows: Int32Array[],
  options: EvaluateOptions = {},
): Promise<Float32Array[]> {
  const longest = longestOf(windows);
  const runner = new LayerRunner(checkpoint.architecture, longest);
  return withResource(runner, () => runLayers(runner, checkpoint, plan, windows, options));
}

async function runLayers(
  runner: LayerRunner,
  checkpoint: Checkpoint,
  plan: LayerPlan,
  windows: Int32Array[],
  options: EvaluateOptions,
): Promise<Float32Array[]> {
  const groups = groupsOf(plan);
  let loaded: { block: number; weights: Awaited<ReturnType<typeof readBlock>> } | undefined;
  let states = await embed(checkpoint, windows);
  for (const [index, { source, block }] of plan.layers.entries()) {
    if (loaded?.block !== block) {
      loaded = undefined; // one block at a time
      const mixture = mixtureOf(groups[block]!, plan.weights, plan.scores);
      loaded = { block, weights: await readBlock(checkpoint, mixture) };
    }
    const norms = await readNorms(checkpoint, source);
    const next: Float32Array[] = [];
    for (const state of states) {
      await betweenSteps(options.signal);
      next.push(runner.run(source, loaded.weights, norms, state));
    }
    states = next;
    options.onProgress?.(index + 1, plan.layers.length);
  }
  return states;
}
