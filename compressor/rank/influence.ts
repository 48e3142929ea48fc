import { withResource } from '../../artifact/dispose.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import { longestOf } from '../evaluate/windows.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import { embed } from '../forward/embed.ts';
import { LayerRunner } from '../forward/layer-runner.ts';
import { readLayer } from '../weights/block.ts';
import type { Ranker } from './ranker.ts';

/**
 * Block influence (ShortGPT, arXiv 2403.03853): 1 - mean cosine similarity between a layer's input and
 * output over all tokens. One pass through the model.
 */
export const influence: Ranker = async (checkpoint, { windows }, options = {}) => {
  const runner = new LayerRunner(checkpoint.architecture, longestOf(windows));
  const scores = await withResource(runner, () => influences(runner, checkpoint, windows, options));
  return { scores };
};

async function influences(
  runner: LayerRunner,
  checkpoint: Checkpoint,
  windows: Int32Array[],
  options: EvaluateOptions,
): Promise<number[]> {
  const { architecture: a } = checkpoint;
  let states = await embed(checkpoint, windows);
  const scores: number[] = [];
  for (let layer = 0; layer < a.layers.length; layer++) {
    const { block, norms } = await readLayer(checkpoint, layer);
    const next: Float32Array[] = [];
    let similarity = 0;
    let tokens = 0;
    for (const state of states) {
      await betweenSteps(options.signal);
      const out = runner.run(layer, block, norms, state);
      for (let row = 0; row < state.length; row += a.width) {
        similarity += cosine(state.subarray(row, row + a.width), out.subarray(row, row + a.width));
        tokens++;
      }
      next.push(out);
    }
    scores.push(1 - similarity / tokens);
    states = next;
    options.onProgress?.(layer + 1, a.layers.length);
  }
  return scores;
}

function cosine(x: Float32Array, y: Float32Array): number {
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    xy += x[i]! * y[i]!;
    xx += x[i]! * x[i]!;
    yy += y[i]! * y[i]!;
  }
  return xy / Math.sqrt(xx * yy || 1);
}
