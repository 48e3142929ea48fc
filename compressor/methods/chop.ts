import type { FoldMethod } from './method.ts';

export const chop: FoldMethod = {
  summary: 'one run in the late middle goes, whatever the model, then a cure',
  source: 'Just CHOP, arXiv 2305.14864',
  rank: 'late-middle',
  patch: 'none',
  cureTokens: 100_000,
};
