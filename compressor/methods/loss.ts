import type { FoldMethod } from './method.ts';

export const loss: FoldMethod = {
  summary: 'greedy removal by measured loss, measured again after each; no training',
  source: 'SLEB, arXiv 2402.09025',
  rank: 'greedy',
  patch: 'none',
  cureTokens: 0,
};
