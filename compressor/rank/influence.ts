import { visitDepths } from '../forward/depth-states.ts';
import type { Ranker } from './ranker.ts';
import { rowCosines } from './row-cosines.ts';

/**
 * Block influence (ShortGPT, arXiv 2403.03853): 1 - mean cosine similarity between a layer's input and
 * output over all tokens. One pass through the model.
 */
export const influence: Ranker = async (checkpoint, { windows }, options = {}) => {
  const { width } = checkpoint.architecture;
  const scores: number[] = [];
  let before: Float32Array[] | undefined;
  const visit = (states: Float32Array[]) => {
    if (before) {
      const cosines = rowCosines(before, states, width);
      scores.push(1 - cosines.reduce((sum, cosine) => sum + cosine, 0) / cosines.length);
    }
    before = states;
  };
  await visitDepths(checkpoint, windows, visit, options);
  return { scores };
};
