import type { FoldMethod } from './method.ts';

export const shortgpt: FoldMethod = {
  summary: 'the layers that turn the hidden state least go; no training',
  source: 'ShortGPT, arXiv 2403.03853',
  rank: 'influence',
  patch: 'none',
  cureTokens: 0,
};
