import type { FoldPlan } from '../plan/plan.ts';

/** Tokens of a window of any text that a fold looks at, where the model's context has them. */
export const windowTokens = 256;

/** Tokens that patches are fitted on: fewer, and the map learns the text. */
const patchTokens = 12_288;

/** Tokens that a layer is trained on to stand in for others: their states before and after it are held in memory. */
const layerTokens = 24_576;

/** Tokens that what stands in for removed layers is fitted on. */
export function tokensToFit({ patch }: Pick<FoldPlan, 'patch'>): number {
  return patch === 'block' ? layerTokens : patchTokens;
}

/** Tokens that int4 is fitted to, where the text has them. */
export const int4Tokens = 8192;

/**
 * Tokens of a window that an int8 cache's scales are taken from: what later tokens put into a cache differs from what the
 * first ones do.
 */
export const cacheTokens = 1024;
