/**
 * Grammars in XGrammar's notation, a dialect of EBNF: rules by name, `"text"`, `[a-z]`, `( | )`, `* + ? {m,n}`.
 * Expressions are strings; those with a `|` at their top are in parentheses.
 */
export class Rules {
  readonly #rules = new Map<string, string>();
  readonly #names = new Map<string, string>();
  /** Names made of each hint. */
  readonly #counts = new Map<string, number>();

  /** @returns a name for the expression: the same one for the same expression */
  name(expression: string, hint: string): string {
    const known = this.#names.get(expression);
    if (known !== undefined) return known;
    const name = this.reserve(hint);
    this.define(name, expression);
    this.#names.set(expression, name);
    return name;
  }

  /** @returns a name that is free, for a rule that refers to itself before it is defined */
  reserve(hint: string): string {
    const letters = hint.replace(/[^A-Za-z0-9]+/g, '_').slice(0, maxHintLength);
    const base = /^[A-Za-z]/.test(letters) && !keywords.has(letters) ? letters : `r_${letters}`;
    let name = base;
    let count = this.#counts.get(base) ?? 0;
    while (this.#rules.has(name)) name = `${base}_${++count}`;
    this.#counts.set(base, count);
    this.#rules.set(name, '');
    return name;
  }

  /**
   * One of several. XGrammar 0.1.27 takes alternatives for each other that begin with different classes of characters
   * and end alike; two rules deep they stay apart.
   */
  choice(alternatives: readonly string[], hint: string): string {
    if (alternatives.length === 1) return alternatives[0]!;
    const isText = (expression: string) => /^"(?:[^"\\]|\\.)*"$/.test(expression);
    return oneOf(
      alternatives.map((expression) =>
        isText(expression) ? expression : this.name(this.name(expression, hint), hint),
      ),
    );
  }

  define(name: string, expression: string): void {
    this.#rules.set(name, expression);
  }

  toString(): string {
    return [...this.#rules].map(([name, expression]) => `${name} ::= ${expression}`).join('\n');
  }
}

/** Words that the notation takes for something else. */
const keywords = new Set(['true', 'false', 'TagDispatch', 'Token', 'ExcludeToken']);

/** Characters of a rule's name that tell where it comes from. */
const maxHintLength = 24;

/** The text itself. */
export function literal(text: string): string {
  const spelled = Array.from(text, (character) => {
    const code = character.codePointAt(0)!;
    if (character === '"' || character === '\\') return `\\${character}`;
    return code < 0x20 || code > 0x7e ? escaped(code) : character;
  });
  return `"${spelled.join('')}"`;
}

/** One of several; in parentheses, so that it stands anywhere. */
export function oneOf(alternatives: readonly string[]): string {
  const distinct = [...new Set(alternatives)];
  return distinct.length === 1 ? distinct[0]! : `(${distinct.join(' | ')})`;
}

/**
 * A count costs XGrammar a mask for each place that it leads to: some seconds for 100 characters and 152,000 tokens. Of
 * rules that double or come in tens it makes a grammar in 5 to 500 ms, but then each token of such a text takes 70 to
 * 500 ms instead of one, since what a rule says of a token that reaches beyond it is found out at every step.
 * @param most undefined for any number
 */
export function repeat(expression: string, least: number, most: number | undefined): string {
  if (most === 0) return '""';
  if (least === 1 && most === 1) return expression;
  const unit = /^(?:[\w]+|\[(?:[^\]\\]|\\.)*\])$/.test(expression) ? expression : `(${expression})`;
  if (most === undefined && least <= 1) return `${unit}${least === 0 ? '*' : '+'}`;
  if (most === 1) return `${unit}?`;
  return `${unit}{${least},${most ?? ''}}`;
}

/** Not by \x, which takes every hexadecimal digit that follows. */
export function escaped(code: number): string {
  return code <= 0xffff
    ? `\\u${code.toString(16).padStart(4, '0')}`
    : `\\U${code.toString(16).padStart(8, '0')}`;
}
