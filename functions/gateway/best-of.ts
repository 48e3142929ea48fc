import type { Choice } from './choices.ts';

/**
 * The likeliest completions of each prompt, by the mean log probability of their tokens, best first.
 * @param choices as many for each prompt as were made, one prompt's after the other's
 */
export function bestOf(choices: readonly Choice[], { made, kept }: { made: number; kept: number }): Choice[] {
  const best: Choice[] = [];
  for (let start = 0; start < choices.length; start += made) {
    const ranked = choices
      .slice(start, start + made)
      .map((choice) => ({ choice, mean: meanLogprob(choice) }));
    ranked.sort((a, b) => (a.mean === b.mean ? 0 : b.mean - a.mean));
    best.push(...ranked.slice(0, kept).map(({ choice }) => choice));
  }
  return best;
}

/** An empty completion has none: it comes last. */
function meanLogprob({ logprobs = [] }: Choice): number {
  const sum = logprobs.reduce((sum, { logprob }) => sum + (logprob ?? 0), 0);
  return logprobs.length > 0 ? sum / logprobs.length : -Infinity;
}
