import type { Context } from 'hono';
import { renderChat } from '../../model/prompt.ts';
import type { Gateway } from '../gateway.ts';
import { withModel } from '../routes/with-model.ts';
import { encodeAnyLength } from '../tokens/encode.ts';
import { messagesOf } from './conversation.ts';
import { inputTokensSchema } from './schema.ts';
import { toolsOf } from './tools.ts';

/** POST /v1/responses/input_tokens: what an input's prompt comes to, also beyond the context. */
export function countInputTokens(gateway: Gateway) {
  return withModel(gateway, inputTokensSchema, async (c: Context, body, model) => {
    const tools = toolsOf(body).map(({ source }) => source);
    const options = { param: 'input', ...(tools.length > 0 && { tools }) };
    const text = renderChat(model, messagesOf(body), options);
    const tokens = await encodeAnyLength(model, text, { addSpecialTokens: false });
    return c.json({ object: 'response.input_tokens', input_tokens: tokens.length });
  });
}
