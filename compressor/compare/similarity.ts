import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import { visitDepths } from '../forward/depth-states.ts';

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
  const { width } = checkpoint.architecture;
  const depths: Float32Array[] = [];
  await visitDepths(checkpoint, windows, (states) => void depths.push(unit(states, width)), options);
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
