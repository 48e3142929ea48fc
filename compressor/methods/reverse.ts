import type { FoldMethod } from './method.ts';

export const reverse: FoldMethod = {
  summary: 'the deepest layers go; no training',
  source: 'arXiv 2403.17887',
  rank: 'reverse',
  patch: 'none',
  cureTokens: 0,
};
