import type { FoldMethod } from './method.ts';

export const blockpruner: FoldMethod = {
  summary: 'greedy removal of attentions and MLPs apart, by measured loss; no training',
  source: 'BlockPruner, arXiv 2406.10594',
  rank: 'blockpruner',
  patch: 'none',
  cureTokens: 0,
};
