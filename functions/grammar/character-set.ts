import { UnsupportedError } from './errors.ts';
import { escaped, literal, oneOf } from './rules.ts';

/** Code points, as ranges in order that do not touch. No surrogates: UTF-8 has none. */
export type CharacterSet = readonly (readonly [first: number, last: number])[];

const highest = 0x10ffff;
const lastAscii = 0x7f;

export function characterSet(ranges: Iterable<readonly [number, number]>): CharacterSet {
  const sorted = [...ranges].filter(([first, last]) => first <= last).sort((a, b) => a[0] - b[0]);
  const joined: [number, number][] = [];
  for (const [first, last] of sorted) {
    const previous = joined.at(-1);
    if (previous && first <= previous[1] + 1) previous[1] = Math.max(previous[1], last);
    else joined.push([first, last]);
  }
  return joined;
}

export const union = (...sets: CharacterSet[]): CharacterSet => characterSet(sets.flat());

export function complement(set: CharacterSet): CharacterSet {
  const rest: [number, number][] = [];
  let next = 0;
  for (const [first, last] of union(set, surrogates)) {
    if (first > next) rest.push([next, first - 1]);
    next = last + 1;
  }
  if (next <= highest) rest.push([next, highest]);
  return rest;
}

export const without = (set: CharacterSet, other: CharacterSet): CharacterSet =>
  complement(union(complement(set), other));

const intersection = (set: CharacterSet, other: CharacterSet): CharacterSet =>
  complement(union(complement(set), complement(other)));

export const has = (set: CharacterSet, code: number): boolean =>
  set.some(([first, last]) => first <= code && code <= last);

const surrogates: CharacterSet = [[0xd800, 0xdfff]];
export const anyCharacter: CharacterSet = complement([]);

const beyondAscii: CharacterSet = [[lastAscii + 1, highest]];

/** Spaces and ends of lines beyond ASCII, which `\s` and `.` speak of and hardly any text has. */
export const rareSpaces: CharacterSet = characterSet([
  [0x85, 0x85],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
]);

/** Characters beyond ASCII that are written one by one. */
const maxListed = 1024;

/**
 * One character of the set, in a grammar's notation. XGrammar 0.1.27 misreads ranges beyond ASCII, so that these are
 * written one by one where they are few. Where they are all but few, all are allowed if what is missing are rare
 * spaces, else none.
 * @param set not empty
 * @throws UnsupportedError for other ranges beyond ASCII
 */
export function classOf(set: CharacterSet): string {
  const ascii = without(set, beyondAscii);
  const beyond = intersection(set, beyondAscii);
  const missing = without(beyondAscii, set);
  if (beyond.length === 0) return bracketed('', ascii);
  if (without(missing, rareSpaces).length === 0)
    return bracketed('^', without(without(anyCharacter, beyondAscii), ascii));
  if (sizeOf(beyond) <= maxListed) {
    const listed = beyond.flatMap(([first, last]) =>
      Array.from({ length: last - first + 1 }, (_, i) => literal(String.fromCodePoint(first + i))),
    );
    return oneOf(ascii.length > 0 ? [bracketed('', ascii), ...listed] : listed);
  }
  if (sizeOf(missing) <= maxListed && ascii.length > 0) return bracketed('', ascii);
  throw new UnsupportedError(`A range of more than ${maxListed} characters beyond ASCII is not supported.`);
}

function sizeOf(set: CharacterSet): number {
  return set.reduce((sum, [first, last]) => sum + last - first + 1, 0);
}

function bracketed(sign: '' | '^', set: CharacterSet): string {
  // A class that excludes nothing is no class: NUL is no loss.
  const ranges = set.length > 0 ? set : characterSet([[0, 0]]);
  const parts = ranges.map(([first, last]) =>
    first === last ? spelled(first) : `${spelled(first)}-${spelled(last)}`,
  );
  return `[${sign}${parts.join('')}]`;
}

function spelled(code: number): string {
  const character = String.fromCodePoint(code);
  return /[A-Za-z0-9]/.test(character) ? character : escaped(code);
}
