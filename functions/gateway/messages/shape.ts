import { randomBytes } from 'node:crypto';
import type { Finish } from '../../model/generate.ts';
import type { UsageFields } from '../choices.ts';
import type { Shape } from '../shapes.ts';
import { anthropicError } from './error.ts';

export interface MessageOptions {
  model: string;
  /** Known before the first token, unlike the rest of `usage`. */
  promptTokens: number;
}

/** POST /v1/messages: a message with one block of text; streamed, Anthropic's named events. */
export function messageShape({ model, promptTokens }: MessageOptions): Shape {
  const head = { id: `msg_${randomBytes(12).toString('hex')}`, type: 'message', role: 'assistant', model };
  const text = (text: string) =>
    `event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":${JSON.stringify(text)}}}\n\n`;
  let ending: Ending = { stop_reason: 'end_turn', stop_sequence: null };
  return {
    opening: () => {
      const started = { input_tokens: promptTokens, output_tokens: 0 };
      const message = {
        ...head,
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: { ...noCache, ...started },
      };
      return (
        event('message_start', { message }) +
        event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } })
      );
    },
    text: (_index, piece) => text(piece),
    finish: (_index, last, reason, stop) => {
      ending = endingOf(reason, stop);
      return (last === '' ? '' : text(last)) + event('content_block_stop', { index: 0 });
    },
    usage: (fields) =>
      event('message_delta', { delta: ending, usage: usageOf(fields) }) + event('message_stop', {}),
    end: '',
    failure: (error) => `event: error\ndata: ${JSON.stringify(anthropicError(error))}\n\n`,
    whole: ([choice], fields) => ({
      ...head,
      content: [{ type: 'text', text: choice!.text }],
      ...endingOf(choice!.finish, choice!.stop),
      usage: usageOf(fields),
    }),
  };
}

interface Ending {
  stop_reason: 'end_turn' | 'max_tokens' | 'stop_sequence';
  stop_sequence: string | null;
}

function endingOf(reason: Finish, stop: string | undefined): Ending {
  if (stop !== undefined) return { stop_reason: 'stop_sequence', stop_sequence: stop };
  return { stop_reason: reason === 'length' ? 'max_tokens' : 'end_turn', stop_sequence: null };
}

const noCache = { cache_creation_input_tokens: 0, cache_read_input_tokens: 0 };

/** Anthropic counts the tokens that were cached apart from the others. */
function usageOf({ usage }: UsageFields) {
  const cached = usage.prompt_tokens_details.cached_tokens;
  return {
    ...noCache,
    input_tokens: usage.prompt_tokens - cached,
    cache_read_input_tokens: cached,
    output_tokens: usage.completion_tokens,
  };
}

function event(type: string, fields: object): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;
}
