import { randomBytes } from 'node:crypto';
import type { Finish } from '../../model/generate.ts';
import type { ToolCall, ToolCallDelta } from '../../model/tools/tool.ts';
import type { Choice, UsageFields } from '../choices.ts';
import type { Shape } from '../shapes.ts';
import { anthropicError } from './error.ts';

export interface MessageOptions {
  model: string;
  /** Known before the first token, unlike the rest of `usage`. */
  promptTokens: number;
}

/** POST /v1/messages: a message of blocks, text and tools used; streamed, Anthropic's named events. */
export function messageShape({ model, promptTokens }: MessageOptions): Shape {
  const head = { id: `msg_${randomBytes(12).toString('hex')}`, type: 'message', role: 'assistant', model };
  const blocks = new BlockStream();
  let ending: Ending = { stop_reason: 'end_turn', stop_sequence: null };
  return {
    opening: () => {
      const usage = { ...noCache, input_tokens: promptTokens, output_tokens: 0 };
      const nothing = { content: [], stop_reason: null, stop_sequence: null };
      return event('message_start', { message: { ...head, ...nothing, usage } });
    },
    text: (_index, piece) => blocks.text(piece),
    calls: (_index, calls) => calls.map((call) => blocks.call(call)).join(''),
    finish: (_index, last, reason, stop) => {
      ending = endingOf(reason, stop);
      return (last === '' ? '' : blocks.text(last)) + blocks.end();
    },
    usage: (fields) =>
      event('message_delta', { delta: ending, usage: usageOf(fields) }) + event('message_stop', {}),
    end: '',
    failure: (error) => `event: error\ndata: ${JSON.stringify(anthropicError(error))}\n\n`,
    whole: ([choice], fields) => ({
      ...head,
      content: contentOf(choice!),
      ...endingOf(choice!.finish, choice!.stop),
      usage: usageOf(fields),
    }),
  };
}

/** The events of a stream's blocks, one after another. */
class BlockStream {
  #index = -1;
  #kind: 'text' | 'tool_use' | undefined;

  text(piece: string): string {
    const opened = this.#kind === 'text' ? '' : this.#open({ type: 'text', text: '' });
    return opened + this.#delta({ type: 'text_delta', text: piece });
  }

  call({ id, name, arguments: piece }: ToolCallDelta): string {
    const opened = id === undefined ? '' : this.#open({ type: 'tool_use', id, name, input: {} });
    return opened + (piece === '' ? '' : this.#delta({ type: 'input_json_delta', partial_json: piece }));
  }

  /** A message has one block at least. */
  end(): string {
    const opened = this.#kind ? '' : this.#open({ type: 'text', text: '' });
    return opened + this.#close();
  }

  #open(content_block: { type: 'text' | 'tool_use' } & Record<string, unknown>): string {
    const closed = this.#close();
    this.#kind = content_block.type;
    this.#index++;
    return closed + event('content_block_start', { index: this.#index, content_block });
  }

  #close(): string {
    return this.#kind ? event('content_block_stop', { index: this.#index }) : '';
  }

  #delta(delta: object): string {
    return event('content_block_delta', { index: this.#index, delta });
  }
}

function contentOf({ text, calls = [] }: Choice): object[] {
  const texts = text !== '' || calls.length === 0 ? [{ type: 'text', text }] : [];
  return [...texts, ...calls.map(({ id, name, arguments: json }) => toolUse(id, name, json))];
}

function toolUse(id: string, name: string, json: ToolCall['arguments']): object {
  let input: unknown = {};
  try {
    input = JSON.parse(json);
  } catch {
    // The limit cut it off, as `stop_reason` says; half an object is none.
  }
  return { type: 'tool_use', id, name, input };
}

interface Ending {
  stop_reason: 'end_turn' | 'max_tokens' | 'stop_sequence' | 'tool_use';
  stop_sequence: string | null;
}

function endingOf(reason: Finish, stop: string | undefined): Ending {
  if (stop !== undefined) return { stop_reason: 'stop_sequence', stop_sequence: stop };
  const reasons = { stop: 'end_turn', length: 'max_tokens', tool_calls: 'tool_use' } as const;
  return { stop_reason: reasons[reason], stop_sequence: null };
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
