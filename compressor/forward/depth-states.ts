import { withResource } from '../../artifact/dispose.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import { longestOf } from '../evaluate/windows.ts';
import { readLayer } from '../weights/block.ts';
import { inSteps } from './between-steps.ts';
import { embed } from './embed.ts';
import { LayerRunner } from './layer-runner.ts';

/**
 * Takes a text through a checkpoint and shows the hidden states at every depth: before the first layer (depth 0)
 * and after each. One pass, one layer's weights in memory.
 * @param visit is given the states of every window, [tokens, width] each, which are no longer touched then
 */
export async function visitDepths(
  checkpoint: Checkpoint,
  windows: Int32Array[],
  visit: (states: Float32Array[], depth: number) => void | Promise<void>,
  { signal, onProgress }: EvaluateOptions = {},
): Promise<void> {
  const { layers } = checkpoint.architecture;
  await withResource(new LayerRunner(checkpoint.architecture, longestOf(windows)), async (runner) => {
    let states = await embed(checkpoint, windows);
    await visit(states, 0);
    for (const layer of layers.keys()) {
      const { block, norms } = await readLayer(checkpoint, layer);
      states = await inSteps(states, (state) => runner.run(layer, block, norms, state), signal);
      await visit(states, layer + 1);
      onProgress?.(layer + 1, layers.length);
    }
  });
}
