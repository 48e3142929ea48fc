import type { EncodeOptions } from '../../../artifact/tokenizer.ts';
import type { LoadedModel } from '../../model/loaded-model.ts';
import { encodeInTurns } from '../../text/encode-in-turns.ts';
import { ApiError } from '../errors.ts';

/** Twice what a token of prose has: a text of so many characters for each token of context fits no prompt. */
const charactersPerToken = 8;

/**
 * A text's tokens, also where no prompt could hold them. Long texts are tokenized in slices, between which
 * others get their turn.
 * @throws ApiError 400 where the text is long and cannot be cut: it would stop everybody.
 */
export async function encodeAnyLength(
  { name, tokenizer, engine }: LoadedModel,
  text: string,
  options: EncodeOptions,
): Promise<number[]> {
  const longest = engine.limits.contextLength * charactersPerToken;
  if (!tokenizer.slicing && text.length > longest) {
    const message = `${name} tokenizes at most ${longest} characters at once; these are ${text.length}. Send parts.`;
    throw new ApiError(400, message, { code: 'invalid_value' });
  }
  return await encodeInTurns(tokenizer, text, options);
}
