import type { Context } from 'hono';
import { z } from 'zod';
import type { LoadedModel } from '../../model/loaded-model.ts';
import { renderChat } from '../../model/prompt.ts';
import { spellToken } from '../../text/spell.ts';
import type { Gateway } from '../gateway.ts';
import { withModel } from '../routes/with-model.ts';
import { message } from '../schemas/chat.ts';
import { orDefault } from '../schemas/fields.ts';
import { encodeAnyLength } from './encode.ts';
import { noFurtherNames, servedModel } from './fields.ts';

/** llama.cpp's server calls a text `content`, vLLM `prompt`; vLLM takes `messages` as well. */
export const tokenizeSchema = z
  .object({
    model: servedModel,
    content: orDefault(z.string(), undefined),
    prompt: orDefault(z.string(), undefined),
    messages: orDefault(z.array(message).min(1), undefined),
    /** What every text begins with. @default llama.cpp's: false, vLLM's: true; never for messages */
    add_special: orDefault(z.boolean(), undefined),
    add_special_tokens: orDefault(z.boolean(), undefined),
    add_generation_prompt: orDefault(z.boolean(), true),
    parse_special: orDefault(z.literal(true, { error: 'is always true here: leave it out' }), true),
    with_pieces: orDefault(z.boolean(), false),
    return_token_strs: orDefault(z.boolean(), false),
  })
  .refine((body) => noFurtherNames(body.content, body.prompt, body.messages), {
    error: 'Give the text as one of content, prompt and messages.',
  });

type TokenizeBody = z.infer<typeof tokenizeSchema>;

/** POST /tokenize. */
export function tokenize(gateway: Gateway) {
  return withModel(gateway, tokenizeSchema, async (c: Context, body, model) => {
    const ids = await tokensOf(model, body);
    const tokens = body.with_pieces ? ids.map((id) => ({ id, piece: pieceOf(model, id) })) : ids;
    return c.json({
      tokens,
      count: ids.length,
      max_model_len: model.engine.limits.contextLength,
      ...(body.return_token_strs && { token_strs: ids.map((id) => model.tokenizer.tokenOf(id) ?? '') }),
    });
  });
}

async function tokensOf(model: LoadedModel, body: TokenizeBody): Promise<number[]> {
  const { content, prompt, messages, add_special, add_special_tokens } = body;
  const text = messages
    ? renderChat(model, messages, { answer: body.add_generation_prompt })
    : (content ?? prompt ?? '');
  const addSpecialTokens = add_special_tokens ?? add_special ?? prompt !== undefined;
  return await encodeAnyLength(model, text, { addSpecialTokens });
}

/** Bytes that are no whole character are an array of numbers, as llama.cpp's server has them. */
function pieceOf(model: LoadedModel, id: number): string | number[] {
  const piece = spellToken(model, id);
  return typeof piece === 'string' ? piece : [...piece];
}
