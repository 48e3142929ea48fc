import type { FoldMethod } from './method.ts';

export const uniform: FoldMethod = {
  summary: 'layers at equal distances go, a control; no training',
  source: 'Just CHOP, arXiv 2305.14864',
  rank: 'uniform',
  patch: 'none',
  cureTokens: 0,
};
