import type { FoldMethod } from './method.ts';

export const crash: FoldMethod = {
  summary: 'layers are clustered by what they put out; each cluster runs the block of its first; no training',
  source: 'CRaSh, arXiv 2310.15477',
  rank: 'clusters',
  patch: 'none',
  refill: 'tied',
  cureTokens: 0,
};
