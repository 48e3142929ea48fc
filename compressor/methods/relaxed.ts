import type { FoldMethod } from './method.ts';

export const relaxed: FoldMethod = {
  summary:
    'layers run the block before them with low-rank matrices of their own, started by SVD, then a cure',
  source:
    'Relaxed Recursive Transformers, arXiv 2410.20672 (stepwise base), with the layers that matter least',
  rank: 'loss',
  patch: 'none',
  refill: 'tied',
  adapter: 'lora:32',
  cureTokens: 100_000,
};
