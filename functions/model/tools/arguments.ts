import { longestBeginning } from '../../text/longest-beginning.ts';

/** Reads a call's arguments as they come, and says them as JSON. */
export interface ArgumentReader {
  readonly isDone: boolean;
  /**
   * @param text that follows what was read
   * @returns how many of its characters are read now, and the JSON that they come to
   */
  read(text: string): { length: number; json: string };
}

/** Arguments that are one JSON object. */
export class ObjectReader implements ArgumentReader {
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  #hasBegun = false;

  get isDone(): boolean {
    return this.#hasBegun && this.#depth === 0;
  }

  read(text: string): { length: number; json: string } {
    const length = this.#lengthOf(text);
    return { length, json: text.slice(0, length) };
  }

  #lengthOf(text: string): number {
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

/** What stands around an argument between tags. */
export const argumentTags = { begin: '<parameter=', nameEnd: '>\n', end: '\n</parameter>\n' } as const;

/** Arguments between tags, one after the other. They end where another tag does. */
export class TagReader implements ArgumentReader {
  readonly #texts: ReadonlySet<string>;
  /** Of the argument that is being read. */
  #isText: boolean | undefined;
  #count = 0;
  #isDone = false;

  /** @param texts names of the arguments that stand as they are, not as JSON */
  constructor(texts: ReadonlySet<string>) {
    this.#texts = texts;
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  read(text: string): { length: number; json: string } {
    const all = { length: 0, json: '' };
    for (;;) {
      const rest = text.slice(all.length);
      const { length, json } =
        this.#isText === undefined ? this.#readTag(rest) : this.#readValue(rest, this.#isText);
      all.length += length;
      all.json += json;
      if (this.#isDone || length === 0) return all;
    }
  }

  #readTag(text: string): { length: number; json: string } {
    const { begin, nameEnd } = argumentTags;
    if (!begin.startsWith(text.slice(0, begin.length))) {
      this.#isDone = true;
      return { length: 0, json: this.#count === 0 ? '{}' : '}' };
    }
    const end = text.indexOf(nameEnd);
    if (end < 0) return { length: 0, json: '' };
    const name = text.slice(begin.length, end);
    this.#isText = this.#texts.has(name);
    const before = this.#count++ === 0 ? '{' : ', ';
    return {
      length: end + nameEnd.length,
      json: `${before}${JSON.stringify(name)}: ${this.#isText ? '"' : ''}`,
    };
  }

  #readValue(text: string, isText: boolean): { length: number; json: string } {
    const { end } = argumentTags;
    const at = text.indexOf(end);
    const value = at < 0 ? text.slice(0, text.length - longestBeginning([end], text)) : text.slice(0, at);
    const json = isText ? JSON.stringify(value).slice(1, -1) : value;
    if (at < 0) return { length: value.length, json };
    this.#isText = undefined;
    return { length: at + end.length, json: isText ? `${json}"` : json };
  }
}
