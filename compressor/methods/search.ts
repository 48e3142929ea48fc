import type { FoldMethod } from './method.ts';

export const search: FoldMethod = {
  summary:
    'what becomes of each layer is searched for a size, block by block against the checkpoint: kept, patched over, ' +
    "or run with a neighbour's block and low-rank matrices; then a cure",
  source: 'DNA, arXiv 1911.13053; DiffNAS, arXiv 2311.04950',
  rank: 'search',
  patch: 'linear',
  adapter: 'lora:16',
  calibrationTokens: 6144,
  cureTokens: 100_000,
};
