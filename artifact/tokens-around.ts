import type { Tokenizer } from './tokenizer.ts';

/**
 * The special tokens that a tokenizer puts around every text.
 * @param sample any text
 */
export function tokensAround(tokenizer: Tokenizer, sample = 'a'): { before: number[]; after: number[] } {
  const bare = tokenizer.encode(sample, { addSpecialTokens: false });
  const whole = tokenizer.encode(sample);
  const at = whole.findIndex((_, i) => bare.every((token, j) => whole[i + j] === token));
  if (at < 0) return { before: [], after: [] };
  return { before: whole.slice(0, at), after: whole.slice(at + bare.length) };
}
