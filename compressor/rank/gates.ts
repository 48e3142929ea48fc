import { trainGates } from '../gates/train-gates.ts';
import type { Ranker } from './ranker.ts';

/** Part of the layers whose removal the gates are trained for where none is asked for. */
export const usualRemoval = 0.2;

/**
 * FoldGPT (arXiv 2407.00928): learnable gates, trained together under a size constraint. Layers of one
 * kind of gate, open or shut, are ordered by their α.
 */
export const gates: Ranker = async (checkpoint, text, { remove = 0, keep = [], ...options } = {}) => {
  const layers = checkpoint.architecture.layers.length;
  const share = remove > 0 ? remove / layers : usualRemoval;
  const { alphas, history } = await trainGates(checkpoint, text, { ...options, remove: share, keep });
  return { scores: alphas, gates: history };
};
