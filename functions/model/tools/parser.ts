import { randomBytes } from 'node:crypto';
import { type ToolFormat, withName } from './formats.ts';
import type { ToolCallDelta } from './tool.ts';

export interface ToolText {
  /** What is no call. */
  text: string;
  calls: ToolCallDelta[];
}

/** How a call of one function begins and ends. */
interface Beginning {
  name: string;
  trigger: string;
  begin: string;
  end: string;
}

/**
 * Takes the tool calls out of a text that comes in pieces; a call's arguments are given out as they come. Calls are
 * written as the grammar of tools has them, to the letter.
 */
export class ToolCallParser {
  readonly #beginnings: readonly Beginning[];
  /** Whether a call is all of the text: it begins there or nowhere. */
  readonly #isWhole: boolean;
  #state: 'text' | 'head' | 'arguments' | 'end' | 'free' = 'text';
  /** Text that is not understood yet. */
  #rest = '';
  #calls = 0;
  #scan = new ObjectScan();
  #end = '';

  /** @param names of the functions that there are */
  constructor({ forms }: ToolFormat, names: readonly string[]) {
    this.#beginnings = forms.flatMap(({ trigger, begin, end }) =>
      names.map((name) => ({
        name,
        trigger: withName(trigger ?? begin, name),
        begin: withName(begin, name),
        end,
      })),
    );
    this.#isWhole = forms[0].trigger === undefined;
  }

  /** Calls whose arguments are complete. */
  get calls(): number {
    return this.#calls;
  }

  push(piece: string): ToolText {
    const out: ToolText = { text: '', calls: [] };
    this.#rest += piece;
    while (this.#step(out)) {}
    return out;
  }

  /** The text ended: what was held back is no call. White space behind calls is nobody's. */
  end(): string {
    const isText = this.#state === 'text' || this.#state === 'head';
    return isText && (this.#calls === 0 || this.#rest.trim() !== '') ? this.#rest : '';
  }

  /** @returns whether there is more to do */
  #step(out: ToolText): boolean {
    if (this.#rest === '') return false;
    switch (this.#state) {
      case 'text':
        return this.#readText(out);
      case 'head':
        return this.#readHead(out);
      case 'arguments':
        return this.#readArguments(out);
      case 'end':
        return this.#readEnd();
      case 'free':
        out.text += this.#rest;
        this.#rest = '';
        return false;
    }
  }

  /** What may begin a call is held back, and white space before it. */
  #readText(out: ToolText): boolean {
    const triggers = this.#beginnings.map(({ trigger }) => trigger);
    const starts = triggers.map((trigger) => this.#rest.indexOf(trigger)).filter((at) => at >= 0);
    const isTriggered = starts.length > 0;
    const at = isTriggered ? Math.min(...starts) : this.#rest.length - longestBeginning(triggers, this.#rest);
    if (this.#isWhole && at > 0) {
      this.#state = 'free';
      return true;
    }
    const text = this.#rest.slice(0, at).trimEnd();
    out.text += text;
    this.#rest = this.#rest.slice(isTriggered ? at : text.length);
    if (isTriggered) this.#state = 'head';
    return isTriggered;
  }

  #readHead(out: ToolText): boolean {
    const found = this.#beginnings.find(({ begin }) => this.#rest.startsWith(begin));
    if (!found) return false;
    this.#rest = this.#rest.slice(found.begin.length);
    const id = `call_${randomBytes(12).toString('hex')}`;
    out.calls.push({ index: this.#calls, id, name: found.name, arguments: '' });
    this.#end = found.end;
    this.#scan = new ObjectScan();
    this.#state = 'arguments';
    return true;
  }

  #readArguments(out: ToolText): boolean {
    const length = this.#scan.push(this.#rest);
    out.calls.push({ index: this.#calls, arguments: this.#rest.slice(0, length) });
    this.#rest = this.#rest.slice(length);
    if (!this.#scan.isDone) return false;
    this.#calls++;
    this.#state = 'end';
    return true;
  }

  #readEnd(): boolean {
    if (!this.#rest.startsWith(this.#end)) return false;
    this.#rest = this.#rest.slice(this.#end.length);
    this.#state = 'text';
    return true;
  }
}

/** Length of the text's longest end that one of these begins with. */
function longestBeginning(triggers: readonly string[], text: string): number {
  let longest = 0;
  for (const trigger of triggers) {
    for (let length = Math.min(trigger.length - 1, text.length); length > longest; length--) {
      if (text.endsWith(trigger.slice(0, length))) longest = length;
    }
  }
  return longest;
}

/** Finds the end of a JSON object that comes in pieces. */
class ObjectScan {
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  #hasBegun = false;

  get isDone(): boolean {
    return this.#hasBegun && this.#depth === 0;
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
      else if (character === '{' || character === '[') {
        this.#hasBegun = true;
        this.#depth++;
      } else if ((character === '}' || character === ']') && --this.#depth === 0) return i + 1;
    }
    return text.length;
  }
}
