import { encodeChat } from '../../model/prompt.ts';
import { answerForm } from '../answer-form.ts';
import type { Endpoint } from '../routes/generation.ts';
import { requireKnownFields, samplingOf, textOptionsOf } from '../schemas/fields.ts';
import type { Structure } from '../schemas/structured.ts';
import { messagesOf } from './conversation.ts';
import { logprobsField, type ResponsesBody, refusedInResponses, responsesSchema } from './schema.ts';
import { responseShape } from './shape.ts';
import { choiceOf, toolsOf } from './tools.ts';

/** POST /v1/responses: chat as OpenAI's Responses API has it. Nothing is kept: each request brings everything. */
export const responses: Endpoint<ResponsesBody> = {
  schema: responsesSchema,
  refusals: refusedInResponses,
  completions: () => 1,
  alwaysReportsUsage: true,
  async prepare(body, model) {
    requireKnownFields(model, body);
    const messages = messagesOf(body);
    const tools = toolsOf(body);
    const form = answerForm(model, {
      messages,
      tools,
      choice: choiceOf(body),
      parallel: body.parallel_tool_calls,
      structure: structureOf(body),
    });
    const sources = tools.map(({ source }) => source);
    const prompt = await encodeChat(model, messages, {
      param: 'input',
      ...(tools.length > 0 && { tools: sources }),
    });
    const request = {
      prompt,
      promptParam: 'input',
      echo: '',
      maxTokens: body.max_output_tokens ?? model.engine.limits.contextLength,
      sampling: samplingOf(model, body, 0),
      ...textOptionsOf(body),
      ...form,
      continues: false,
      ...(body.include.includes(logprobsField) && { logprobs: body.top_logprobs }),
    };
    return {
      requests: [request],
      prompts: [prompt],
      shape: ({ model }) => responseShape(model, body, request.sampling),
    };
  },
};

function structureOf({ text: { format } }: ResponsesBody): Structure | undefined {
  if (format.type === 'text') return undefined;
  const param = 'text.format.schema';
  if (format.type === 'json_object') return { param, form: { schema: { type: 'object' }, strict: true } };
  return { param, form: { schema: format.schema, strict: format.strict } };
}
