import { randomBytes } from 'node:crypto';
import type { TokenReport } from '../../model/token-report.ts';
import type { UsageFields } from '../choices.ts';
import type { ApiError } from '../errors.ts';
import { chatLogprobs } from '../logprobs.ts';
import type { Shape } from '../shapes.ts';
import type { ResponsesBody } from './schema.ts';

/** POST /v1/responses: a response with one message of one text; streamed, OpenAI's named and numbered events. */
export function responseShape(model: string, body: ResponsesBody): Shape {
  const base = baseOf(model, body);
  const itemId = `msg_${randomBytes(16).toString('hex')}`;
  const place = { item_id: itemId, output_index: 0, content_index: 0 };
  let number = 0;
  let text = '';
  const logprobs: object[] = [];
  let length = false;
  const event = (type: string, fields: object) =>
    `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: number++, ...fields })}\n\n`;
  const delta = (piece: string, reports: TokenReport[] = []) => {
    const { content } = chatLogprobs(reports);
    text += piece;
    logprobs.push(...content);
    return event('response.output_text.delta', { ...place, delta: piece, logprobs: content });
  };
  const item = (status: Status, content: object[]) => ({
    type: 'message',
    id: itemId,
    status,
    role: 'assistant',
    content,
  });
  const ended = (part: object, length: boolean, fields: UsageFields) => {
    const status = length ? 'incomplete' : 'completed';
    return {
      ...base,
      status,
      incomplete_details: length ? { reason: 'max_output_tokens' } : null,
      output: [item(status, [part])],
      ...fields,
      usage: usageOf(fields),
    };
  };
  return {
    opening: () => {
      const response = { ...base, status: 'in_progress' };
      return (
        event('response.created', { response }) +
        event('response.in_progress', { response }) +
        event('response.output_item.added', { output_index: 0, item: item('in_progress', []) }) +
        event('response.content_part.added', { ...place, part: textPart('') })
      );
    },
    text: (_index, piece, reports) => delta(piece, reports),
    finish: (_index, last, reason, _stop, reports) => {
      const before = last === '' && !reports ? '' : delta(last, reports);
      length = reason === 'length';
      const part = textPart(text, logprobs);
      const done = item(length ? 'incomplete' : 'completed', [part]);
      return (
        before +
        event('response.output_text.done', { ...place, text, logprobs }) +
        event('response.content_part.done', { ...place, part }) +
        event('response.output_item.done', { output_index: 0, item: done })
      );
    },
    usage: (fields) =>
      event(length ? 'response.incomplete' : 'response.completed', {
        response: ended(textPart(text, logprobs), length, fields),
      }),
    end: '',
    failure: ({ message, param, code }: ApiError) => event('error', { message, param, code }),
    whole: ([choice], fields) => {
      const { text, finish, logprobs = [] } = choice!;
      return ended(textPart(text, chatLogprobs(logprobs).content), finish === 'length', fields);
    },
  };
}

type Status = 'in_progress' | 'completed' | 'incomplete';

const textPart = (text: string, logprobs: object[] = []) => ({
  type: 'output_text',
  text,
  annotations: [],
  logprobs,
});

/** What a response has from its beginning: itself, and what was asked for. */
function baseOf(model: string, body: ResponsesBody) {
  return {
    id: `resp_${randomBytes(16).toString('hex')}`,
    object: 'response',
    created_at: Math.floor(Date.now() / 1000),
    model,
    error: null,
    incomplete_details: null,
    output: [] as object[],
    usage: null as object | null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    temperature: body.temperature,
    top_p: body.top_p,
    metadata: body.metadata,
    background: false,
    store: false,
    previous_response_id: null,
    parallel_tool_calls: true,
    tool_choice: 'auto',
    tools: [],
    reasoning: { effort: null, summary: null },
    text: { format: { type: 'text' } },
    truncation: 'disabled',
  };
}

function usageOf({ usage }: UsageFields) {
  return {
    input_tokens: usage.prompt_tokens,
    input_tokens_details: usage.prompt_tokens_details,
    output_tokens: usage.completion_tokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: usage.total_tokens,
  };
}
