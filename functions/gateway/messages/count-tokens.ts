import type { Context } from 'hono';
import type { Gateway } from '../gateway.ts';
import { withModel } from '../routes/with-model.ts';
import { encodeAnyLength } from '../tokens/encode.ts';
import { renderMessages } from './conversation.ts';
import { countTokensSchema } from './schema.ts';

/** POST /v1/messages/count_tokens: what a conversation's prompt comes to, also beyond the context. */
export function countTokens(gateway: Gateway) {
  return withModel(gateway, countTokensSchema, async (c: Context, body, model) => {
    const tokens = await encodeAnyLength(model, renderMessages(model, body), { addSpecialTokens: false });
    return c.json({ input_tokens: tokens.length });
  });
}
