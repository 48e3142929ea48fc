import { randomBytes } from 'node:crypto';
import type { ToolCallDelta } from '../../model/tools/tool.ts';
import { functionCall, type ItemStatus, message, textPart } from './items.ts';

/** Writes an event of a response's stream. */
export type WriteEvent = (type: string, fields: object) => string;

type OpenItem =
  | { kind: 'message'; id: string; text: string; logprobs: object[] }
  | { kind: 'function_call'; id: string; callId: string; name: string; json: string };

/** The events of a stream's output items, one after another, and the items as they became. */
export class OutputStream {
  readonly items: object[] = [];
  readonly #event: WriteEvent;
  #open: OpenItem | undefined;

  constructor(event: WriteEvent) {
    this.#event = event;
  }

  text(delta: string, logprobs: object[]): string {
    const opened = this.#open?.kind === 'message' ? '' : this.#openMessage();
    const item = this.#open as OpenItem & { kind: 'message' };
    item.text += delta;
    item.logprobs.push(...logprobs);
    return opened + this.#event('response.output_text.delta', { ...this.#part(), delta, logprobs });
  }

  call({ id, name, arguments: delta }: ToolCallDelta): string {
    const opened = id === undefined ? '' : this.#openCall(id, name!);
    const item = this.#open as OpenItem & { kind: 'function_call' };
    item.json += delta;
    if (delta === '') return opened;
    return opened + this.#event('response.function_call_arguments.delta', { ...this.#place(), delta });
  }

  /** A response has one item at least. @param status of the last item */
  end(status: ItemStatus): string {
    const opened = this.#open ? '' : this.#openMessage();
    return opened + this.#close(status);
  }

  #openMessage(): string {
    const closed = this.#close('completed');
    this.#open = { kind: 'message', id: itemId('msg'), text: '', logprobs: [] };
    const added = { output_index: this.items.length, item: message(this.#open.id, 'in_progress', []) };
    return (
      closed +
      this.#event('response.output_item.added', added) +
      this.#event('response.content_part.added', { ...this.#part(), part: textPart('') })
    );
  }

  #openCall(callId: string, name: string): string {
    const closed = this.#close('completed');
    this.#open = { kind: 'function_call', id: itemId('fc'), callId, name, json: '' };
    const item = functionCall(this.#open.id, 'in_progress', { id: callId, name, arguments: '' });
    return closed + this.#event('response.output_item.added', { output_index: this.items.length, item });
  }

  #close(status: ItemStatus): string {
    const open = this.#open;
    if (!open) return '';
    let done: string;
    let item: object;
    if (open.kind === 'message') {
      const { id, text, logprobs } = open;
      const part = textPart(text, logprobs);
      item = message(id, status, [part]);
      done =
        this.#event('response.output_text.done', { ...this.#part(), text, logprobs }) +
        this.#event('response.content_part.done', { ...this.#part(), part });
    } else {
      const { id, callId, name, json } = open;
      item = functionCall(id, status, { id: callId, name, arguments: json });
      const fields = { ...this.#place(), name, arguments: json };
      done = this.#event('response.function_call_arguments.done', fields);
    }
    done += this.#event('response.output_item.done', { output_index: this.items.length, item });
    this.items.push(item);
    this.#open = undefined;
    return done;
  }

  #place() {
    return { item_id: this.#open!.id, output_index: this.items.length };
  }

  #part() {
    return { ...this.#place(), content_index: 0 };
  }
}

export function itemId(kind: 'msg' | 'fc'): string {
  return `${kind}_${randomBytes(16).toString('hex')}`;
}
