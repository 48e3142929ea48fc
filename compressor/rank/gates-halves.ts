import { trainGates } from '../gates/train-gates.ts';
import { usualRemoval } from './gates.ts';
import { HalfRemoval } from './half-removal.ts';
import type { Ranker } from './ranker.ts';

/**
 * Learnable gates as in FoldGPT (arXiv 2407.00928), one before each attention and each MLP, trained together under a
 * size constraint in which each half costs its parameters. The halves of the lowest α go, as far as a share allows: an
 * MLP that would take too much is passed over for the next half.
 */
export const gatesHalves: Ranker = async (checkpoint, text, request = {}) => {
  const { remove = 0, keep = [], share, until: _, ...options } = request;
  const asked = share ?? remove / checkpoint.architecture.layers.length;
  const { alphas, history } = await trainGates(checkpoint, text, {
    ...options,
    gated: 'halves',
    remove: asked > 0 ? asked : usualRemoval,
    keep,
  });
  const removal = new HalfRemoval(checkpoint.architecture, request);
  for (let next = removal.candidates(); next.length > 0; next = removal.candidates()) {
    const alphaOf = (one: (typeof next)[number]) => alphas[removal.all.indexOf(one)]!;
    removal.removed.push(next.reduce((least, one) => (alphaOf(one) < alphaOf(least) ? one : least)));
  }
  return { ...removal.ranking(alphas), gates: history };
};
