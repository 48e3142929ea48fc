import { TemplateRefusal } from '../../text/chat-template.ts';
import { ApiError } from '../errors.ts';
import type { TextRequest } from '../generate.ts';
import type { LoadedModel } from '../model.ts';
import { encodePrompt } from '../prompt.ts';
import { type ChatBody, chatSchema } from '../schemas/chat.ts';
import { samplingOf } from '../schemas/fields.ts';
import { refusedInChat } from '../schemas/refused.ts';
import { chatShape } from '../shapes.ts';
import type { Endpoint } from './generation.ts';

/** POST /v1/chat/completions: the model answers, as its chat template taught it. */
export const chat: Endpoint<ChatBody> = {
  schema: chatSchema,
  refusals: refusedInChat,
  prepare(body, model) {
    const text = renderMessages(body, model);
    const prompt = encodePrompt(model, text, { param: 'messages', addSpecialTokens: false });
    const maxTokens = body.max_completion_tokens ?? body.max_tokens ?? model.engine.limits.contextLength;
    const requests = Array.from(
      { length: body.n },
      (_, choice): TextRequest => ({
        prompt,
        promptParam: 'messages',
        echo: '',
        maxTokens,
        sampling: samplingOf(body, choice),
        stop: body.stop,
        continues: false, // an answer is a text of its own
        stream: body.stream,
      }),
    );
    return { requests, prompts: [prompt], shape: chatShape };
  },
};

function renderMessages(body: ChatBody, model: LoadedModel): string {
  if (!model.chatTemplate) {
    throw new ApiError(
      400,
      `Model ${model.name} has no chat template: it continues texts and was never taught to chat. ` +
        'Use POST /v1/completions.',
      { param: 'model', code: 'chat_not_supported' },
    );
  }
  try {
    return model.chatTemplate.render(body.messages);
  } catch (error) {
    if (!(error instanceof TemplateRefusal)) throw error;
    throw new ApiError(400, `The model's chat template refuses these messages: ${error.message}`, {
      param: 'messages',
      code: 'invalid_messages',
      cause: error,
    });
  }
}
