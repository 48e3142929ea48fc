import { characterSet, classOf, without } from '../character-set.ts';
import { plain, plainCharacter } from '../json-text.ts';
import { literal, oneOf } from '../rules.ts';
import type { SchemaContext } from './schema.ts';
import { quote } from './string.ts';

/**
 * A key that is none of the given ones, letter by letter along the tree of their beginnings. Without escapes, which
 * would be other spellings of them.
 */
export function keyExcept(names: readonly string[], { rules }: SchemaContext): string {
  const plainNames = names.filter((name) => !JSON.stringify(name).includes('\\\\'));
  return `${quote} ${after(plainNames)}`;

  function after(rests: readonly string[]): string {
    const next = new Map<string, string[]>();
    for (const rest of rests) {
      const [first] = rest;
      if (first === undefined) continue;
      next.set(first, [...(next.get(first) ?? []), rest.slice(first.length)]);
    }
    const others = without(
      plain,
      characterSet([...next.keys()].map((first) => [first.codePointAt(0)!, first.codePointAt(0)!])),
    );
    const free = `${plainCharacter}* ${quote}`;
    const alternatives = [`${classOf(others)} ${free}`];
    if (!rests.includes('')) alternatives.push(quote);
    for (const [first, rests] of next) alternatives.push(`${literal(first)} ${after(rests)}`);
    return rules.name(oneOf(alternatives), 'key');
  }
}
