import { encodeChat } from '../../model/prompt.ts';
import type { Endpoint } from '../routes/generation.ts';
import { requireKnownFields, samplingOf, textOptionsOf } from '../schemas/fields.ts';
import { messagesOf } from './conversation.ts';
import { logprobsField, type ResponsesBody, refusedInResponses, responsesSchema } from './schema.ts';
import { responseShape } from './shape.ts';

/** POST /v1/responses: chat as OpenAI's Responses API has it. Nothing is kept: each request brings everything. */
export const responses: Endpoint<ResponsesBody> = {
  schema: responsesSchema,
  refusals: refusedInResponses,
  completions: () => 1,
  alwaysReportsUsage: true,
  async prepare(body, model) {
    requireKnownFields(model, body);
    const prompt = await encodeChat(model, messagesOf(body), { param: 'input' });
    const request = {
      prompt,
      promptParam: 'input',
      echo: '',
      maxTokens: body.max_output_tokens ?? model.engine.limits.contextLength,
      sampling: samplingOf(body, 0),
      ...textOptionsOf(body),
      continues: false,
      ...(body.include.includes(logprobsField) && { logprobs: body.top_logprobs }),
    };
    return { requests: [request], prompts: [prompt], shape: ({ model }) => responseShape(model, body) };
  },
};
