import { ApiError, contextOverflow } from './errors.ts';
import type { LoadedModel } from './model.ts';

/**
 * A prompt's tokens.
 * @throws ApiError where it has none, or more than the context holds.
 */
export function encodePrompt(
  model: LoadedModel,
  text: string,
  { param, addSpecialTokens }: { param: string; addSpecialTokens: boolean },
): number[] {
  const { contextLength } = model.engine.limits;
  const fewest = Math.ceil(text.length / model.longestToken);
  // Tokenizing runs on the thread that serves everyone: not for a text that cannot fit anyway.
  if (fewest > contextLength) throw contextOverflow(fewest, contextLength, param);
  const tokens = model.tokenizer.encode(text, { addSpecialTokens });
  if (tokens.length === 0 && model.bos !== undefined) tokens.push(model.bos);
  if (tokens.length === 0) {
    throw new ApiError(400, `${param} holds no token: this model needs some text to go on from.`, {
      param,
      code: 'invalid_value',
    });
  }
  if (tokens.length >= contextLength) throw contextOverflow(tokens.length, contextLength, param);
  return tokens;
}
