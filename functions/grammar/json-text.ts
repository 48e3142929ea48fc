import { anyCharacter, type CharacterSet, characterSet, classOf, has, without } from './character-set.ts';
import type { Rules } from './rules.ts';

/** How JSON is written here: on one line, as Python does. Free white space is where small models lose themselves. */
export const comma = '", "';
export const colon = '": "';

/** What stands in a JSON string as it is: no quotation mark, no backslash, no control character. */
export const plain: CharacterSet = without(
  anyCharacter,
  characterSet([
    [0, 0x1f],
    [0x22, 0x22],
    [0x5c, 0x5c],
  ]),
);
export const plainCharacter = classOf(plain);

/** Characters with a short escape, and its letter. */
const shortEscapes: readonly (readonly [code: number, letter: string])[] = [
  [0x22, '"'],
  [0x5c, '\\'],
  [0x08, 'b'],
  [0x09, 't'],
  [0x0a, 'n'],
  [0x0c, 'f'],
  [0x0d, 'r'],
];

/**
 * One character of a set, as JSON strings spell it; undefined where none of them can be written. Characters whose
 * only spelling is by number are left out.
 */
export function jsonCharacter(set: CharacterSet): string | undefined {
  const asTheyAre = without(plain, without(anyCharacter, set));
  const letters = shortEscapes.filter(([code]) => has(set, code)).map(([, letter]) => letter.codePointAt(0)!);
  const alternatives: string[] = [];
  if (asTheyAre.length > 0) alternatives.push(classOf(asTheyAre));
  if (letters.length > 0)
    alternatives.push(`"\\\\" ${classOf(characterSet(letters.map((code) => [code, code])))}`);
  if (alternatives.length === 0) return undefined;
  return alternatives.length === 1 && letters.length === 0
    ? alternatives[0]
    : `(${alternatives.join(' | ')})`;
}

/** A JSON value as one writes it: keys in their order. */
export function jsonText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(jsonText).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([key, value]) => `${JSON.stringify(key)}: ${jsonText(value)}`);
    return `{${entries.join(', ')}}`;
  }
  return JSON.stringify(value);
}

/** Digits before and behind the point: what a double holds. */
export const maxDigits = 15;

/** The grammar of any JSON value. Each is a rule's name, defined at its first use. */
export class JsonRules {
  readonly #rules: Rules;
  readonly #names = new Map<string, string>();

  constructor(rules: Rules) {
    this.#rules = rules;
  }

  get string(): string {
    return this.#rule('string', () => {
      const rest = this.#rules.reserve('string_rest');
      const hex = '[0-9a-fA-F]';
      const escaped = `["\\\\/bfnrt] | "u" ${hex} ${hex} ${hex} ${hex}`;
      this.#rules.define(rest, `"\\"" | ${plainCharacter} ${rest} | "\\\\" (${escaped}) ${rest}`);
      return `"\\"" ${rest}`;
    });
  }

  get integer(): string {
    return this.#rule('integer', () => `"-"? ("0" | [1-9] [0-9]{0,${maxDigits - 1}})`);
  }

  /** Exponents of two digits: with them a number stays below a double's end. */
  get number(): string {
    const { integer } = this;
    return this.#rule('number', () => `${integer} ("." [0-9]{1,${maxDigits}})? ([eE] [+\\-]? [0-9]{1,2})?`);
  }

  get boolean(): string {
    return '("true" | "false")';
  }

  get object(): string {
    const { string, value } = this;
    return this.#rule(
      'object',
      () => `"{" (${string} ${colon} ${value} (${comma} ${string} ${colon} ${value})*)? "}"`,
    );
  }

  get array(): string {
    const { value } = this;
    return this.#rule('array', () => `"[" (${value} (${comma} ${value})*)? "]"`);
  }

  get value(): string {
    const known = this.#names.get('value');
    if (known !== undefined) return known;
    const name = this.#rules.reserve('value');
    this.#names.set('value', name); // objects and arrays refer to it
    const { object, array, string, number, boolean } = this;
    this.#rules.define(name, `${object} | ${array} | ${string} | ${number} | ${boolean} | "null"`);
    return name;
  }

  #rule(name: string, expression: () => string): string {
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    const reserved = this.#rules.reserve(`json_${name}`);
    this.#names.set(name, reserved);
    this.#rules.define(reserved, expression());
    return reserved;
  }
}
