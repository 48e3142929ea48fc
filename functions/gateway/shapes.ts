import { randomBytes } from 'node:crypto';
import type { Finish } from '../model/generate.ts';
import type { TokenReport } from '../model/token-report.ts';
import type { ToolCallDelta } from '../model/tools/tool.ts';
import type { Choice, UsageFields } from './choices.ts';
import type { ApiError } from './errors.ts';
import { chatLogprobs, completionLogprobs } from './logprobs.ts';

/**
 * How one endpoint writes its answers. Stream frames are cut from text made once per request: a token costs
 * one JSON string and two concatenations.
 */
export interface Shape {
  /** Before a choice's first text. */
  opening(index: number): string;
  /** @param logprobs the tokens whose text begins here, where the request asks for them */
  text(index: number, text: string, logprobs?: TokenReport[]): string;
  /** Pieces of tool calls; only of endpoints that have tools. */
  calls?(index: number, calls: readonly ToolCallDelta[]): string;
  /**
   * @param text the last piece
   * @param stop the stop string that ended the text
   */
  finish(index: number, text: string, reason: Finish, stop?: string, logprobs?: TokenReport[]): string;
  /** After all choices. */
  usage(fields: UsageFields): string;
  /** The stream's end. */
  end: string;
  /** Instead of the rest of a stream: what went wrong. */
  failure(error: ApiError): string;
  /** The whole answer, not streamed. */
  whole(choices: readonly Choice[], fields: UsageFields): object;
}

export interface ShapeOptions {
  model: string;
  fingerprint: string;
  /** `stream_options.include_usage`: every chunk has a `usage`, null but for the last. */
  includeUsage: boolean;
  /** `stream_options.continuous_usage_stats`: the `usage` of every chunk, instead of null. */
  usageSoFar?: () => object;
}

/** How OpenAI's streams end, well or badly. */
const openaiEnding = {
  end: 'data: [DONE]\n\n',
  failure: (error: ApiError) => `data: ${JSON.stringify(error.body)}\n\n`,
};

/** POST /v1/completions. */
export function completionShape({ model, fingerprint, ...options }: ShapeOptions): Shape {
  const head = headOf('cmpl-', 'text_completion', model, fingerprint);
  const frame = framer(head, options);
  const choice = (index: number, text: string, finish_reason: Finish, logprobs?: TokenReport[]) => ({
    index,
    text,
    logprobs: logprobs ? completionLogprobs(logprobs) : null,
    finish_reason,
  });
  return {
    ...openaiEnding,
    opening: () => '',
    text: (index, text, logprobs) => {
      const tokens = logprobs ? JSON.stringify(completionLogprobs(logprobs)) : null;
      return frame(
        `{"index":${index},"text":${JSON.stringify(text)},"logprobs":${tokens},"finish_reason":null}`,
      );
    },
    finish: (index, text, reason, _stop, logprobs) =>
      frame(JSON.stringify(choice(index, text, reason, logprobs))),
    usage: (fields) => usageFrame(head, fields),
    whole: (choices, fields) => ({
      ...head,
      choices: choices.map(({ text, finish, logprobs }, index) => choice(index, text, finish, logprobs)),
      ...fields,
    }),
  };
}

/** POST /v1/chat/completions. */
export function chatShape({ model, fingerprint, ...options }: ShapeOptions): Shape {
  const chunk = headOf('chatcmpl-', 'chat.completion.chunk', model, fingerprint);
  const frame = framer(chunk, options);
  const delta = (index: number, delta: string, finish: Finish | null, logprobs?: TokenReport[]) => {
    const tokens = logprobs ? JSON.stringify(chatLogprobs(logprobs)) : null;
    return frame(
      `{"index":${index},"delta":${delta},"logprobs":${tokens},"finish_reason":${JSON.stringify(finish)}}`,
    );
  };
  const text = (index: number, text: string, logprobs?: TokenReport[]) =>
    delta(index, `{"content":${JSON.stringify(text)}}`, null, logprobs);
  return {
    ...openaiEnding,
    opening: (index) => delta(index, '{"role":"assistant","content":""}', null),
    text,
    calls: (index, calls) => delta(index, `{"tool_calls":${JSON.stringify(calls.map(toolCallDelta))}}`, null),
    finish: (index, last, reason, _stop, logprobs) =>
      (last === '' && !logprobs ? '' : text(index, last, logprobs)) + delta(index, '{}', reason),
    usage: (fields) => usageFrame(chunk, fields),
    whole: (choices, fields) => ({
      ...chunk,
      object: 'chat.completion',
      choices: choices.map(({ text, finish, calls, logprobs }, index) => ({
        index,
        message: {
          role: 'assistant',
          content: calls && text === '' ? null : text,
          refusal: null,
          ...(calls && {
            tool_calls: calls.map(({ id, ...call }) => ({ id, type: 'function', function: call })),
          }),
        },
        logprobs: logprobs ? chatLogprobs(logprobs) : null,
        finish_reason: finish,
      })),
      ...fields,
    }),
  };
}

/** The first piece of a call has all fields. */
function toolCallDelta({ index, id, name, arguments: piece }: ToolCallDelta) {
  if (id === undefined) return { index, function: { arguments: piece } };
  return { index, id, type: 'function', function: { name, arguments: piece } };
}

function headOf(prefix: string, object: string, model: string, fingerprint: string) {
  return {
    id: prefix + randomBytes(16).toString('hex'),
    object,
    created: Math.floor(Date.now() / 1000),
    model,
    system_fingerprint: fingerprint,
  };
}

function framer(
  head: object,
  { includeUsage, usageSoFar }: Pick<ShapeOptions, 'includeUsage' | 'usageSoFar'>,
): (choice: string) => string {
  const before = `data: ${JSON.stringify(head).slice(0, -1)},"choices":[`;
  if (includeUsage && usageSoFar)
    return (choice) => `${before}${choice}],"usage":${JSON.stringify(usageSoFar())}}\n\n`;
  const after = includeUsage ? '],"usage":null}\n\n' : ']}\n\n';
  return (choice) => before + choice + after;
}

function usageFrame(head: object, fields: object): string {
  return `data: ${JSON.stringify({ ...head, choices: [], ...fields })}\n\n`;
}
