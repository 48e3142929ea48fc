import type { FoldMethod } from './method.ts';

export const modegpt: FoldMethod = {
  summary: 'all layers stay, their MLPs narrower: columns kept by leverage, the rest fitted; no training',
  source: 'MoDeGPT, arXiv 2408.09632: its MLP module alone',
  rank: 'influence',
  patch: 'none',
  shrink: 'width',
  cureTokens: 0,
};
