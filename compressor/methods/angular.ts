import type { FoldMethod } from './method.ts';

export const angular: FoldMethod = {
  summary: 'one run of layers goes, whose ends are nearest by angle; no training',
  source: 'arXiv 2403.17887',
  rank: 'angular',
  patch: 'none',
  cureTokens: 0,
};
