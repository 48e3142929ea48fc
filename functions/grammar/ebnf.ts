import { characterSet, classOf, complement } from './character-set.ts';
import { escaped, literal, oneOf } from './rules.ts';

/** One of the texts. */
export function grammarOfChoices(choices: readonly string[]): string {
  return `root ::= ${oneOf(choices.map(literal))}`;
}

/**
 * A grammar that somebody wrote, in XGrammar's notation or llama.cpp's (GBNF), so that XGrammar reads it as it is
 * meant: characters by number have as many digits as the notation says, and classes beyond ASCII are taken apart.
 * @throws UnsupportedError for large ranges beyond ASCII
 */
export function portableGrammar(ebnf: string): string {
  return ebnf.replace(/"(?:[^"\\\n]|\\.)*"|#[^\n]*|\[(?:[^\]\\\n]|\\.)*\]/g, (token) => {
    if (token.startsWith('#')) return token;
    const spelled = token.replace(/\\(?:x([0-9a-fA-F]{2})|[^x])/g, (found, hex?: string) =>
      hex === undefined ? found : escaped(Number.parseInt(hex, 16)),
    );
    return spelled.startsWith('[') ? portableClass(spelled) : spelled;
  });
}

function portableClass(spelled: string): string {
  const isNegative = spelled.startsWith('[^');
  const codes = [...spelled.slice(isNegative ? 2 : 1, -1).matchAll(character)].map(codeOf);
  if (codes.every((code) => code === '-' || code < 0x80)) return spelled;
  const ranges: [number, number][] = [];
  for (let i = 0; i < codes.length; i++) {
    const first = numberOf(codes[i]!);
    const last = codes[i + 1] === '-' && i + 2 < codes.length ? numberOf(codes[i + 2]!) : undefined;
    ranges.push([first, last ?? first]);
    if (last !== undefined) i += 2;
  }
  const set = characterSet(ranges);
  return classOf(isNegative ? complement(set) : set);
}

const character = /\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})|\\(.)|./gsu;
const namedEscapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

/** A code point; `-` where it stands for a range. */
function codeOf([text, short, long, named]: RegExpMatchArray): number | '-' {
  if (short ?? long) return Number.parseInt((short ?? long)!, 16);
  if (named !== undefined) return (namedEscapes[named] ?? named).codePointAt(0)!;
  return text === '-' ? '-' : text!.codePointAt(0)!;
}

function numberOf(code: number | '-'): number {
  return code === '-' ? 0x2d : code;
}
