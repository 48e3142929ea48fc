import type { TextRequest } from '../../model/generate.ts';
import { encodeChat } from '../../model/prompt.ts';
import type { ToolChoice } from '../../model/tools/tool.ts';
import { answerForm } from '../answer-form.ts';
import { type ChatBody, chatSchema } from '../schemas/chat.ts';
import { requireKnownFields, samplingOf, textOptionsOf } from '../schemas/fields.ts';
import { refusedInChat } from '../schemas/refused.ts';
import { structureOf } from '../schemas/structured.ts';
import { toolsOf } from '../schemas/tools.ts';
import { chatShape } from '../shapes.ts';
import type { Endpoint } from './generation.ts';

/** POST /v1/chat/completions: the model answers, as its chat template taught it. */
export const chat: Endpoint<ChatBody> = {
  schema: chatSchema,
  refusals: refusedInChat,
  completions: ({ n }) => n,
  async prepare(body, model) {
    requireKnownFields(model, body);
    const tools = toolsOf(body);
    const form = answerForm(model, {
      messages: body.messages,
      tools,
      choice: choiceOf(body),
      parallel: body.parallel_tool_calls,
      structure: structureOf(body),
    });
    const sources = tools.map(({ source }) => source);
    const { messages, begun } = beginningOf(body);
    const prompt = await encodeChat(model, messages, {
      answer: body.add_generation_prompt ?? true,
      begun,
      ...(tools.length > 0 && { tools: sources }),
    });
    const maxTokens = body.max_completion_tokens ?? body.max_tokens ?? model.engine.limits.contextLength;
    const requests = Array.from(
      { length: body.n },
      (_, choice): TextRequest => ({
        prompt,
        promptParam: 'messages',
        echo: '',
        maxTokens,
        sampling: samplingOf(model, body, choice),
        ...textOptionsOf(body),
        ...form,
        continues: begun !== '', // other answers are texts of their own
        ...(body.logprobs && { logprobs: body.top_logprobs }),
      }),
    );
    return { requests, prompts: [prompt], shape: chatShape };
  },
};

/** Where the answer was begun for the model, the last message is no message but that. */
function beginningOf({ messages, continue_final_message: isBegun }: ChatBody) {
  return isBegun
    ? { messages: messages.slice(0, -1), begun: messages.at(-1)!.content }
    : { messages, begun: '' };
}

function choiceOf({ tool_choice: choice = 'auto' }: ChatBody): ToolChoice {
  if (typeof choice === 'object') return { name: choice.function.name };
  return choice === 'required' ? choice : 'auto';
}
