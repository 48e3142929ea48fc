import type { Context } from 'hono';
import { z } from 'zod';
import type { LoadedModel } from '../../model/loaded-model.ts';
import { renderChat } from '../../model/prompt.ts';
import { encodeInTurns } from '../../text/encode-in-turns.ts';
import { spellToken } from '../../text/spell.ts';
import { ApiError } from '../errors.ts';
import type { Gateway } from '../gateway.ts';
import { withModel } from '../routes/with-model.ts';
import { message } from '../schemas/chat.ts';
import { orDefault } from '../schemas/fields.ts';
import { noFurtherNames, servedModel } from './fields.ts';

/** llama.cpp's server calls a text `content`, vLLM `prompt`; vLLM takes `messages` as well. */
export const tokenizeSchema = z
  .object({
    model: servedModel,
    content: z.string().optional(),
    prompt: z.string().optional(),
    messages: z.array(message).min(1).optional(),
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

/** Twice what a token of prose has: a text of so many characters for each token of context fits no prompt. */
const charactersPerToken = 8;

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
  requireDivisible(model, text);
  const addSpecialTokens = add_special_tokens ?? add_special ?? prompt !== undefined;
  return await encodeInTurns(model.tokenizer, text, { addSpecialTokens });
}

/**
 * Long texts are tokenized in slices, between which others get their turn. Where a tokenizer's texts cannot be
 * cut, one that no prompt could hold would stop everybody.
 */
function requireDivisible({ name, tokenizer, engine }: LoadedModel, text: string): void {
  const longest = engine.limits.contextLength * charactersPerToken;
  if (tokenizer.slicing || text.length <= longest) return;
  const message = `${name} tokenizes at most ${longest} characters at once; these are ${text.length}. Send parts.`;
  throw new ApiError(400, message, { code: 'invalid_value' });
}

/** Bytes that are no whole character are an array of numbers, as llama.cpp's server has them. */
function pieceOf(model: LoadedModel, id: number): string | number[] {
  const piece = spellToken(model, id);
  return typeof piece === 'string' ? piece : [...piece];
}
