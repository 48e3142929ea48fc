import type { FoldMethod } from './method.ts';

export const streamline: FoldMethod = {
  summary: 'one run of layers gives way to its first, trained to do what all of it did, then a cure',
  source: 'LLM-Streamline, arXiv 2403.19135',
  rank: 'cosine',
  patch: 'block',
  cureTokens: 100_000,
};
