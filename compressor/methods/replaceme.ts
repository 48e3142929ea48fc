import type { FoldMethod } from './method.ts';

export const replaceme: FoldMethod = {
  summary: 'runs of layers chosen with a linear patch in their place; no training',
  source: 'ReplaceMe, arXiv 2505.02819, with runs measured by their loss',
  rank: 'runs',
  patch: 'linear',
  calibrationTokens: 6144,
  cureTokens: 0,
};
