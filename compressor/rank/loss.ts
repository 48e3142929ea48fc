import { withResource } from '../../artifact/dispose.ts';
import type { Half } from '../../artifact/manifest.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import { longestOf, type TextWindows } from '../evaluate/windows.ts';
import { inSteps } from '../forward/between-steps.ts';
import { embed } from '../forward/embed.ts';
import { HeadRunner } from '../forward/head-runner.ts';
import { LayerRunner } from '../forward/layer-runner.ts';
import { type BlockWeights, type NormWeights, normsOfHalf, readLayer } from '../weights/block.ts';
import { meanLosses } from './mean-losses.ts';
import type { Ranker } from './ranker.ts';

/**
 * The rise of the loss, in nats a token, when a layer is left out. Block influence misses layers whose
 * removal ruins the model though they turn the hidden state no more than their neighbours.
 */
export const loss: Ranker = async (checkpoint, text, options = {}) => {
  const all = checkpoint.architecture.layers.map((_, layer) => ({ layer }));
  const runner = new LayerRunner(checkpoint.architecture, longestOf(text.windows));
  const { whole, without } = await withResource(runner, () =>
    withResource(new HeadRunner(checkpoint), (head) =>
      lossesWithout({ checkpoint, runner, head }, all, all, text, options),
    ),
  );
  return { scores: without.map((value) => value - whole) };
};

/** What may be left out of a model: a layer, or one half of it. */
export interface ModelPart {
  layer: number;
  half?: Half;
}

interface Runners {
  checkpoint: Checkpoint;
  runner: LayerRunner;
  head: HeadRunner;
}

/**
 * Losses in nats a token: of the model of the parts `kept`, and of those without one of `candidates`.
 *
 * All models advance together, so that each block is read once: the one without a part starts from the
 * whole model's states before it. Costs candidates / 2 passes through the model.
 * @param kept in the order of depth; of which are the `candidates`, in the same order
 */
export async function lossesWithout(
  runners: Runners,
  kept: readonly ModelPart[],
  candidates: readonly ModelPart[],
  { windows, targets }: TextWindows,
  options: EvaluateOptions,
): Promise<{ whole: number; without: number[] }> {
  const all = await runVariants(runners, kept, candidates, windows, options);
  const [whole, ...without] = await meanLosses(runners.head, all, targets, options.signal);
  options.onProgress?.(kept.length + 1, kept.length + 1);
  return { whole: whole!, without };
}

/** States after the last layer: of the whole model, then of those without each candidate. */
async function runVariants(
  { checkpoint, runner }: Runners,
  kept: readonly ModelPart[],
  candidates: readonly ModelPart[],
  windows: Int32Array[],
  options: EvaluateOptions,
): Promise<Float32Array[][]> {
  let whole = await embed(checkpoint, windows);
  const without: Float32Array[][] = [];
  let read: { layer: number; block: BlockWeights; norms: NormWeights } | undefined;
  for (const [index, part] of kept.entries()) {
    const { layer, half } = part;
    if (read?.layer !== layer) {
      read = undefined; // one layer at a time
      read = { layer, ...(await readLayer(checkpoint, layer)) };
    }
    const { block } = read;
    const norms = half ? normsOfHalf(read.norms, half) : read.norms;
    const run = (states: Float32Array[]) =>
      inSteps(states, (state) => runner.run(layer, block, norms, state), options.signal);
    for (const [left, states] of without.entries()) without[left] = await run(states);
    if (candidates.includes(part)) without.push(whole); // this part passes the states on as they are
    whole = await run(whole);
    options.onProgress?.(index + 1, kept.length + 1);
  }
  return [whole, ...without];
}
