import type { Tokenizer } from '../../artifact/tokenizer.ts';

/** Characters that show what a tokenizer puts before a text. */
const probeLength = 64;

/**
 * What the tokenizer puts before a text: its beginning-of-text token, for most that have one. Some put an end
 * after it as well, which no text that is to be continued has.
 * @param sample any text
 */
export function beginningOf(tokenizer: Tokenizer, sample = 'a'): number[] {
  const probe = sample.slice(0, probeLength);
  const bare = tokenizer.encode(probe, { addSpecialTokens: false });
  const whole = tokenizer.encode(probe);
  const start = whole.findIndex((_, i) => bare.every((id, j) => whole[i + j] === id));
  return whole.slice(0, Math.max(start, 0));
}
