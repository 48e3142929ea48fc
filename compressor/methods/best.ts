import type { FoldMethod } from './method.ts';

export const best: FoldMethod = {
  summary:
    'what lost least when measured here: runs chosen with a patch in their place, a long cure, then training to round well',
  source: 'patches: ReplaceMe, arXiv 2505.02819; cure: FoldGPT, arXiv 2407.00928',
  rank: 'runs',
  patch: 'linear',
  calibrationTokens: 6144,
  cureTokens: 400_000,
  crossEntropy: 0.5,
  learningRate: 2e-4,
  quantizeAware: 32_768,
};
