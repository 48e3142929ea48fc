import type { Tokenizer } from '../../artifact/tokenizer.ts';
import { tokensAround } from '../../artifact/tokens-around.ts';

/** Characters that show what a tokenizer puts before a text. */
const probeLength = 64;

/**
 * What the tokenizer puts before a text: its beginning-of-text token, for most that have one. Some put an end
 * after it as well, which no text that is to be continued has.
 * @param sample any text
 */
export function beginningOf(tokenizer: Tokenizer, sample = 'a'): number[] {
  return tokensAround(tokenizer, sample.slice(0, probeLength)).before;
}
