import type { Context } from 'hono';
import { z } from 'zod';
import { renderChat } from '../../model/prompt.ts';
import type { Gateway } from '../gateway.ts';
import { withModel } from '../routes/with-model.ts';
import { message } from '../schemas/chat.ts';
import { orDefault } from '../schemas/fields.ts';
import { servedModel } from './fields.ts';

export const applyTemplateSchema = z.object({
  model: servedModel,
  messages: z.array(message).min(1),
  add_generation_prompt: orDefault(z.boolean(), true),
});

/** POST /apply-template, llama.cpp's: the conversation as the model reads it. */
export function applyTemplate(gateway: Gateway) {
  return withModel(gateway, applyTemplateSchema, async (c: Context, body, model) => {
    return c.json({ prompt: renderChat(model, body.messages, { answer: body.add_generation_prompt }) });
  });
}
