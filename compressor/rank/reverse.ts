import type { Ranker } from './ranker.ts';

/** The deepest layers go first (arXiv 2403.17887 finds them to matter least). Reads no weights. */
export const reverse: Ranker = async ({ architecture }) => ({
  scores: architecture.layers.map((_, layer) => architecture.layers.length - layer),
});
