import { randomBytes } from 'node:crypto';
import { longestBeginning } from '../../text/longest-beginning.ts';
import { type ArgumentReader, ObjectReader, TagReader } from './arguments.ts';
import { type CallForm, type ToolFormat, withName } from './formats.ts';
import type { CalledFunction, ToolCallDelta } from './tool.ts';

export interface ToolText {
  /** What is no call. */
  text: string;
  calls: ToolCallDelta[];
}

/** How calls of one function begin and end. */
interface Beginning extends CalledFunction {
  form: CallForm;
  trigger: string;
  begin: string;
}

/**
 * Takes the tool calls out of a text that comes in pieces; a call's arguments are given out as they come. Calls are
 * written as the grammar of tools has them, to the letter.
 */
export class ToolCallParser {
  readonly #beginnings: readonly Beginning[];
  readonly #triggers: readonly string[];
  /** Whether a call is all of the text: it begins there or nowhere. */
  readonly #isWhole: boolean;
  readonly #idLength: number | undefined;
  #state: 'text' | 'head' | 'arguments' | 'end' | 'free' = 'text';
  /** Text that is not understood yet. */
  #rest = '';
  #calls = 0;
  #reader: ArgumentReader = new ObjectReader();
  /** Of the last call that began. */
  #form: CallForm;
  #isInList = false;

  /** @param functions that there are */
  constructor({ forms, idLength }: ToolFormat, functions: readonly CalledFunction[]) {
    this.#beginnings = forms.flatMap((form) =>
      functions.map(({ name, texts }) => ({
        name,
        texts,
        form,
        trigger: withName(form.trigger ?? form.begin, name),
        begin: withName(form.begin, name),
      })),
    );
    this.#triggers = [...new Set(this.#beginnings.map(({ trigger }) => trigger))];
    this.#isWhole = forms[0].trigger === undefined;
    this.#idLength = idLength;
    this.#form = forms[0];
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
    const isText = this.#state === 'text' || (this.#state === 'head' && !this.#isInList);
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
    const triggers = this.#triggers;
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
    const found = this.#beginnings.find((one) => this.#rest.startsWith(this.#headOf(one)));
    if (!found) return false;
    this.#rest = this.#rest.slice(this.#headOf(found).length);
    this.#form = found.form;
    this.#isInList = found.form.list !== undefined;
    this.#reader = found.form.arguments === 'tags' ? new TagReader(found.texts) : new ObjectReader();
    out.calls.push({ index: this.#calls, id: this.#newId(), name: found.name, arguments: '' });
    this.#state = 'arguments';
    return true;
  }

  #headOf({ form, begin }: Beginning): string {
    return this.#isInList ? begin : (form.list?.begin ?? '') + begin;
  }

  #newId(): string {
    if (this.#idLength === undefined) return `call_${randomBytes(12).toString('hex')}`;
    return randomBytes(this.#idLength).toString('hex').slice(0, this.#idLength);
  }

  #readArguments(out: ToolText): boolean {
    const { length, json } = this.#reader.read(this.#rest);
    if (json !== '') out.calls.push({ index: this.#calls, arguments: json });
    this.#rest = this.#rest.slice(length);
    if (!this.#reader.isDone) return false;
    this.#calls++;
    this.#state = 'end';
    return true;
  }

  #readEnd(): boolean {
    const { end, list } = this.#form;
    const next = list && this.#rest.startsWith(end + list.separator);
    const whole = end + (list ? (next ? list.separator : list.end) : '');
    if (!this.#rest.startsWith(whole)) return false;
    this.#rest = this.#rest.slice(whole.length);
    this.#isInList = next === true;
    this.#state = next ? 'head' : 'text';
    return true;
  }
}
