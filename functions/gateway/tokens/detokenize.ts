import type { Context } from 'hono';
import { z } from 'zod';
import { spellTokens } from '../../text/spell.ts';
import type { Gateway } from '../gateway.ts';
import { withModel } from '../routes/with-model.ts';
import { requireKnownTokens, tokenIds } from '../schemas/token-ids.ts';
import { servedModel } from './fields.ts';

export const detokenizeSchema = z.object({ model: servedModel, tokens: tokenIds });

/** POST /detokenize. The text is under the names that llama.cpp's server and vLLM give it. */
export function detokenize(gateway: Gateway) {
  return withModel(gateway, detokenizeSchema, async (c: Context, { tokens }, model) => {
    requireKnownTokens(model, tokens, 'tokens');
    const text = spellTokens(model, tokens);
    return c.json({ content: text, prompt: text });
  });
}
