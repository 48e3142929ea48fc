import type { FoldMethod } from './method.ts';

/**
 * The paper normalizes what a re-used block puts out and multiplies it by a small gain that is trained. Here gains
 * start at zero, without the normalization: for the start both come to a model nearly without those layers, and a
 * gain a channel, which learns ten times as fast as matrices, finds the scale that the norm would set. The served
 * graph stays one of plain blocks.
 */
export const flexigpt: FoldMethod = {
  summary:
    'layers of least influence come back with the kept block nearest to each by low-rank weights, behind gains',
  source: 'FlexiGPT, arXiv 2501.14713; ranking: ShortGPT, arXiv 2403.03853',
  rank: 'influence',
  patch: 'none',
  refill: 'nearest',
  adapter: 'gain+lora:16',
  cureTokens: 100_000,
};
