import { withResource } from '../../artifact/dispose.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import { longestOf } from '../evaluate/windows.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import { embed } from '../forward/embed.ts';
import { HeadRunner } from '../forward/head-runner.ts';
import { LayerRunner } from '../forward/layer-runner.ts';
import { readBlock, readNorms } from '../weights/block.ts';
import type { Ranker } from './ranker.ts';

/**
 * The rise of the loss, in nats a token, when a layer is left out. Block influence misses layers whose
 * removal ruins the model though they turn the hidden state no more than their neighbours.
 *
 * All models with one layer left out advance together, so that each block is read once: the one without
 * layer l starts from the whole model's states before it. Costs layers / 2 passes through the model.
 */
export const loss: Ranker = async (checkpoint, { windows, targets, tokens }, options = {}) => {
  const longest = longestOf(windows);
  const runner = new LayerRunner(checkpoint.architecture, longest);
  const all = await withResource(runner, () => runVariants(runner, checkpoint, windows, options));
  const losses = await withResource(new HeadRunner(checkpoint), (head) =>
    head.losses(
      all.flat(),
      all.flatMap(() => targets),
      options.signal,
    ),
  );
  options.onProgress?.(all.length, all.length);
  const means = all.map((_, i) => {
    const own = losses.slice(i * windows.length, (i + 1) * windows.length);
    return own.reduce((sum, window) => sum + window.reduce((a, b) => a + b, 0), 0) / tokens;
  });
  return means.slice(1).map((mean) => mean - means[0]!);
};

/** States after the last layer: of the whole model, then of those without layer 0, 1, ... */
async function runVariants(
  runner: LayerRunner,
  checkpoint: Checkpoint,
  windows: Int32Array[],
  options: EvaluateOptions,
): Promise<Float32Array[][]> {
  const layers = checkpoint.architecture.layers.length;
  let whole = await embed(checkpoint, windows);
  /** By the layer left out. */
  const without: Float32Array[][] = [];
  for (let layer = 0; layer < layers; layer++) {
    const block = await readBlock(checkpoint, [{ layer, factor: 1 }]);
    const norms = await readNorms(checkpoint, layer);
    const run = async (states: Float32Array[]) => {
      const out: Float32Array[] = [];
      for (const state of states) {
        await betweenSteps(options.signal);
        out.push(runner.run(layer, block, norms, state));
      }
      return out;
    };
    for (const [left, states] of without.entries()) without[left] = await run(states);
    without.push(whole); // this layer passes the states on as they are
    whole = await run(whole);
    options.onProgress?.(layer + 1, layers + 1);
  }
  return [whole, ...without];
}
