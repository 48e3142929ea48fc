import { withResource } from '../../artifact/dispose.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import { longestOf } from '../evaluate/windows.ts';
import { betweenSteps, inSteps } from '../forward/between-steps.ts';
import { embed } from '../forward/embed.ts';
import { LayerRunner } from '../forward/layer-runner.ts';
import { readLayer } from '../weights/block.ts';

/**
 * Mean cosine similarity of a token's hidden states at any two depths: before the first layer and after
 * each. One pass through the model, whose states of all depths are held in memory:
 * (layers + 1) x tokens x width numbers.
 * @returns symmetric, [layers + 1][layers + 1]
 */
export async function layerSimilarity(
  checkpoint: Checkpoint,
  windows: Int32Array[],
  options: EvaluateOptions = {},
): Promise<number[][]> {
  const runner = new LayerRunner(checkpoint.architecture, longestOf(windows));
  const depths = await withResource(runner, () => unitStates(runner, checkpoint, windows, options));
  const { width } = checkpoint.architecture;
  const tokens = depths[0]!.length / width;
  const similarity = depths.map(() => new Array<number>(depths.length).fill(1));
  for (const [i, a] of depths.entries()) {
    await betweenSteps(options.signal);
    for (const [j, b] of depths.slice(0, i).entries()) {
      let dot = 0;
      for (let k = 0; k < a.length; k++) dot += a[k]! * b[k]!;
      similarity[i]![j] = similarity[j]![i] = dot / tokens;
    }
  }
  return similarity;
}

/** Per depth, the states of all tokens, each of length 1: [tokens, width]. */
async function unitStates(
  runner: LayerRunner,
  checkpoint: Checkpoint,
  windows: Int32Array[],
  { signal, onProgress }: EvaluateOptions,
): Promise<Float32Array[]> {
  const { width, layers } = checkpoint.architecture;
  let states = await embed(checkpoint, windows);
  const depths = [unit(states, width)];
  for (const layer of layers.keys()) {
    const { block, norms } = await readLayer(checkpoint, layer);
    states = await inSteps(states, (state) => runner.run(layer, block, norms, state), signal);
    depths.push(unit(states, width));
    onProgress?.(layer + 1, layers.length);
  }
  return depths;
}

function unit(states: Float32Array[], width: number): Float32Array {
  const all = new Float32Array(states.reduce((sum, { length }) => sum + length, 0));
  let row = 0;
  for (const state of states) {
    for (let start = 0; start < state.length; start += width) {
      let square = 0;
      for (let k = start; k < start + width; k++) square += state[k]! ** 2;
      const factor = 1 / Math.sqrt(square || 1);
      for (let k = start; k < start + width; k++) all[row++] = state[k]! * factor;
    }
  }
  return all;
}
