import { encodePrompt } from '../../model/prompt.ts';
import { answerForm } from '../answer-form.ts';
import type { Endpoint } from '../routes/generation.ts';
import { requireKnownFields, samplingOf, textOptionsOf } from '../schemas/fields.ts';
import { isBegun, messagesOf, renderMessages } from './conversation.ts';
import { type MessagesBody, messagesSchema, refusedInMessages } from './schema.ts';
import { messageShape } from './shape.ts';
import { choiceOf, toolsOf } from './tools.ts';

/** POST /v1/messages: what chat completions do, as Anthropic's API has it. */
export const messages: Endpoint<MessagesBody> = {
  schema: messagesSchema,
  refusals: refusedInMessages,
  completions: () => 1,
  alwaysReportsUsage: true,
  async prepare(body, model) {
    requireKnownFields(model, body);
    const format = body.output_config?.format;
    const form = answerForm(model, {
      messages: messagesOf(body),
      tools: toolsOf(body),
      choice: choiceOf(body),
      parallel: !body.tool_choice?.disable_parallel_tool_use,
      ...(format && {
        structure: { param: 'output_config.format.schema', form: { schema: format.schema, strict: true } },
      }),
    });
    const text = renderMessages(model, body);
    const prompt = await encodePrompt(model, text, { param: 'messages', addSpecialTokens: false });
    const request = {
      prompt,
      promptParam: 'messages',
      echo: '',
      maxTokens: body.max_tokens,
      sampling: samplingOf(model, body, 0),
      ...form,
      ...textOptionsOf({ ...body, stop: body.stop_sequences }),
      continues: isBegun(body),
    };
    return {
      requests: [request],
      prompts: [prompt],
      shape: ({ model }) => messageShape({ model, promptTokens: prompt.length }),
    };
  },
};
