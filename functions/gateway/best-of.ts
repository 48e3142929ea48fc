import type { Choice } from './choices.ts';

/**
 * The likeliest completions of each prompt, by the mean log probability of their tokens, best first.
 * @param choices as many for each prompt, one prompt's after the other's
 * @param options.kept completions of each prompt that are wanted
 * @param options.skipped for each prompt, how many of a choice's reported tokens do not count
 */
export function bestOf(
  choices: readonly Choice[],
  { kept, skipped }: { kept: number; skipped: readonly number[] },
): Choice[] {
  const made = choices.length / skipped.length;
  return skipped.flatMap((skip, prompt) => {
    const own = choices.slice(prompt * made, (prompt + 1) * made);
    const ranked = own.map((choice) => ({ choice, mean: meanLogprob(choice, skip) }));
    ranked.sort((a, b) => (a.mean === b.mean ? 0 : b.mean - a.mean));
    return ranked.slice(0, kept).map(({ choice }) => choice);
  });
}

/** Where nothing was made, not even an end, there is none: that comes last. */
function meanLogprob({ logprobs = [] }: Choice, skip: number): number {
  const count = logprobs.length - skip;
  const sum = logprobs.slice(skip).reduce((sum, { logprob }) => sum + (logprob ?? 0), 0);
  return count > 0 ? sum / count : -Infinity;
}
