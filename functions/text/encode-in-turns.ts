import { setImmediate as nextEvents } from 'node:timers/promises';
import { slicesOf } from '../../artifact/text-slices.ts';
import type { EncodeOptions, Tokenizer } from '../../artifact/tokenizer.ts';
import { tokensAround } from '../../artifact/tokens-around.ts';

/** Characters tokenized in one go: some 10 milliseconds. */
const sliceCharacters = 4096;

/**
 * The tokens that `tokenizer.encode` gives, with a turn for the event loop after every slice of some thousand
 * characters: a large prompt, or many, should not hold up everybody else's answers. A tokenizer whose texts
 * cannot be cut takes its time in one go.
 */
export async function encodeInTurns(
  tokenizer: Tokenizer,
  text: string,
  options: EncodeOptions = {},
): Promise<number[]> {
  const { slicing } = tokenizer;
  if (!slicing || text.length <= 2 * sliceCharacters) {
    const tokens = tokenizer.encode(text, options);
    await nextEvents();
    return tokens;
  }
  const bare = options.addSpecialTokens === false;
  const { before, after } = bare ? { before: [], after: [] } : tokensAround(tokenizer);
  const tokens = [...before];
  for (const slice of slicesOf(text, slicing, sliceCharacters)) {
    for (const token of tokenizer.encode(slice, { addSpecialTokens: false })) tokens.push(token);
    await nextEvents();
  }
  return tokens.concat(after);
}
