import type { TextRequest } from '../../model/generate.ts';
import { encodeChat } from '../../model/prompt.ts';
import { type ChatBody, chatSchema } from '../schemas/chat.ts';
import { requireKnownFields, samplingOf, textOptionsOf } from '../schemas/fields.ts';
import { refusedInChat } from '../schemas/refused.ts';
import { chatShape } from '../shapes.ts';
import type { Endpoint } from './generation.ts';

/** POST /v1/chat/completions: the model answers, as its chat template taught it. */
export const chat: Endpoint<ChatBody> = {
  schema: chatSchema,
  refusals: refusedInChat,
  completions: ({ n }) => n,
  async prepare(body, model) {
    requireKnownFields(model, body);
    const prompt = await encodeChat(model, body.messages);
    const maxTokens = body.max_completion_tokens ?? body.max_tokens ?? model.engine.limits.contextLength;
    const requests = Array.from(
      { length: body.n },
      (_, choice): TextRequest => ({
        prompt,
        promptParam: 'messages',
        echo: '',
        maxTokens,
        sampling: samplingOf(body, choice),
        ...textOptionsOf(body),
        continues: false, // an answer is a text of its own
        ...(body.logprobs && { logprobs: body.top_logprobs }),
      }),
    );
    return { requests, prompts: [prompt], shape: chatShape };
  },
};
