import { randomBytes } from 'node:crypto';
import type { ToolFormat } from './formats.ts';
import type { ToolCallDelta } from './tool.ts';

export interface ToolText {
  /** What is no call. */
  text: string;
  calls: ToolCallDelta[];
}

/** Takes the tool calls out of a text that comes in pieces; a call's arguments are given out as they come. */
export class ToolCallParser {
  readonly #format: ToolFormat;
  readonly #head: RegExp;
  #state: 'beginning' | 'text' | 'head' | 'arguments' | 'tail' = 'beginning';
  /** Text that is not understood yet. */
  #rest = '';
  #calls = 0;
  #scan = new ObjectScan();

  constructor(format: ToolFormat) {
    this.#format = format;
    this.#head = new RegExp(
      `^\\s*\\{\\s*"name"\\s*:\\s*("(?:[^"\\\\]|\\\\.)*")\\s*,\\s*"${format.argumentsKey}"\\s*:\\s*(?=\\{)`,
    );
  }

  /** Calls that are complete. */
  get calls(): number {
    return this.#calls;
  }

  push(piece: string): ToolText {
    const out: ToolText = { text: '', calls: [] };
    this.#rest += piece;
    while (this.#step(out)) {}
    return out;
  }

  /** The text ended: what was held back is no call. */
  end(): ToolText {
    const isText = this.#state !== 'tail' && this.#state !== 'arguments';
    const isWhite = this.#rest.trim() === '';
    return { text: isText && !(isWhite && this.#calls > 0) ? this.#rest : '', calls: [] };
  }

  /** @returns whether there is more to do */
  #step(out: ToolText): boolean {
    switch (this.#state) {
      case 'beginning':
        return this.#begin();
      case 'text':
        return this.#text(out);
      case 'head':
        return this.#readHead(out);
      case 'arguments':
        return this.#readArguments(out);
      case 'tail':
        return this.#readTail();
    }
  }

  /** Where a call is all of the text, its first character tells. */
  #begin(): boolean {
    if (this.#rest === '') return false;
    this.#state = this.#format.trigger === undefined && this.#rest.startsWith('{') ? 'head' : 'text';
    return true;
  }

  /** What may begin a call is held back, and white space before it. */
  #text(out: ToolText): boolean {
    const { trigger } = this.#format;
    const at = trigger === undefined ? -1 : this.#rest.indexOf(trigger);
    const before = at < 0 ? this.#rest.length - beginningOf(trigger, this.#rest) : at;
    const text = this.#rest.slice(0, before).trimEnd();
    out.text += text;
    if (at < 0) {
      this.#rest = this.#rest.slice(text.length);
      return false;
    }
    this.#rest = this.#rest.slice(at + trigger!.length);
    this.#state = 'head';
    return true;
  }

  #readHead(out: ToolText): boolean {
    const match = this.#head.exec(this.#rest);
    if (!match) return false;
    this.#rest = this.#rest.slice(match[0].length);
    const id = `call_${randomBytes(12).toString('hex')}`;
    out.calls.push({ index: this.#calls, id, name: JSON.parse(match[1]!) as string, arguments: '' });
    this.#scan = new ObjectScan();
    this.#state = 'arguments';
    return true;
  }

  #readArguments(out: ToolText): boolean {
    if (this.#rest === '') return false;
    const length = this.#scan.push(this.#rest);
    out.calls.push({ index: this.#calls, arguments: this.#rest.slice(0, length) });
    this.#rest = this.#rest.slice(length);
    if (!this.#scan.done) return false;
    this.#calls++;
    this.#state = 'tail';
    return true;
  }

  #readTail(): boolean {
    const end = `}${this.#format.end}`;
    const at = this.#rest.indexOf(end);
    if (at < 0) return false;
    this.#rest = this.#rest.slice(at + end.length);
    this.#state = 'text';
    return true;
  }
}

/** Length of the text's end that may be a trigger's beginning. */
function beginningOf(trigger: string | undefined, text: string): number {
  if (trigger === undefined) return 0;
  let length = Math.min(trigger.length - 1, text.length);
  while (length > 0 && !text.endsWith(trigger.slice(0, length))) length--;
  return length;
}

/** Finds the end of a JSON object that comes in pieces. */
class ObjectScan {
  #depth = 0;
  #isInString = false;
  #isEscaped = false;

  get done(): boolean {
    return this.#depth === 0;
  }

  /** @returns how many characters belong to the object */
  push(text: string): number {
    for (let i = 0; i < text.length; i++) {
      const character = text[i]!;
      if (this.#isEscaped) this.#isEscaped = false;
      else if (this.#isInString) {
        if (character === '\\') this.#isEscaped = true;
        else if (character === '"') this.#isInString = false;
      } else if (character === '"') this.#isInString = true;
      else if (character === '{' || character === '[') this.#depth++;
      else if ((character === '}' || character === ']') && --this.#depth === 0) return i + 1;
    }
    return text.length;
  }
}
