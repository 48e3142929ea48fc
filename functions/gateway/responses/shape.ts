import { randomBytes } from 'node:crypto';
import type { Sampling } from '../../engine/engine.ts';
import type { Choice, UsageFields } from '../choices.ts';
import type { ApiError } from '../errors.ts';
import { chatLogprobs } from '../logprobs.ts';
import type { Shape } from '../shapes.ts';
import { functionCall, type ItemStatus, message, textPart } from './items.ts';
import { itemId, OutputStream } from './output-stream.ts';
import type { ResponsesBody } from './schema.ts';

/** POST /v1/responses: a response of items, a message and calls; streamed, OpenAI's named and numbered events. */
export function responseShape(model: string, body: ResponsesBody, sampling: Sampling): Shape {
  const base = baseOf(model, body, sampling);
  let number = 0;
  const event = (type: string, fields: object) =>
    `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: number++, ...fields })}\n\n`;
  const output = new OutputStream(event);
  let status: ItemStatus = 'completed';
  const ended = (status: ItemStatus, items: object[], fields: UsageFields) => ({
    ...base,
    status,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    output: items,
    ...fields,
    usage: usageOf(fields),
  });
  return {
    opening: () => {
      const response = { ...base, status: 'in_progress' };
      return event('response.created', { response }) + event('response.in_progress', { response });
    },
    text: (_index, piece, reports = []) => output.text(piece, chatLogprobs(reports).content),
    calls: (_index, calls) => calls.map((call) => output.call(call)).join(''),
    finish: (_index, last, reason, _stop, reports) => {
      status = statusOf(reason);
      const before = last === '' && !reports ? '' : output.text(last, chatLogprobs(reports ?? []).content);
      return before + output.end(status);
    },
    usage: (fields) => event(`response.${status}`, { response: ended(status, output.items, fields) }),
    end: '',
    failure: ({ message, param, code }: ApiError) => event('error', { message, param, code }),
    whole: ([choice], fields) => ended(statusOf(choice!.finish), itemsOf(choice!), fields),
  };
}

function statusOf(finish: Choice['finish']): ItemStatus {
  return finish === 'length' ? 'incomplete' : 'completed';
}

function itemsOf({ text, finish, calls = [], logprobs = [] }: Choice): object[] {
  const hasText = text !== '' || calls.length === 0;
  const last = statusOf(finish);
  const content = [textPart(text, chatLogprobs(logprobs).content)];
  const messages = hasText ? [message(itemId('msg'), calls.length > 0 ? 'completed' : last, content)] : [];
  const items = calls.map((call, at) =>
    functionCall(itemId('fc'), at === calls.length - 1 ? last : 'completed', call),
  );
  return [...messages, ...items];
}

/** What a response has from its beginning: itself, and what was asked for. */
function baseOf(model: string, body: ResponsesBody, sampling: Sampling) {
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
    temperature: sampling.temperature,
    top_p: sampling.topP,
    metadata: body.metadata,
    background: false,
    store: false,
    previous_response_id: null,
    parallel_tool_calls: body.parallel_tool_calls,
    tool_choice: body.tool_choice,
    tools: body.tools,
    reasoning: { effort: null, summary: null },
    text: body.text,
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
