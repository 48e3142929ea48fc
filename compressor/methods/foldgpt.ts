import type { FoldMethod } from './method.ts';

export const foldgpt: FoldMethod = {
  summary: 'learnable gates choose the layers, linear patches stand in for them, distillation cures',
  source: 'FoldGPT, arXiv 2407.00928; patches: ReplaceMe, arXiv 2505.02819',
  rank: 'gates',
  patch: 'linear',
  cureTokens: 100_000,
};
