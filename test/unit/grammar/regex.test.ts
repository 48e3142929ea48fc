import { afterAll, describe, expect, it } from 'vitest';
import { grammarOfRegex } from '../../../functions/grammar/regex.ts';
import { GrammarWriter } from '../../fixtures/grammar-writer.ts';
import { seeded } from '../../fixtures/random-checkpoint.ts';

const writer = new GrammarWriter(seeded(2));
afterAll(() => writer[Symbol.dispose]());

const grammarOf = (pattern: string) => `root ::= ${grammarOfRegex(pattern, { whole: true })}`;

const probes = [
  '',
  'a',
  'b',
  'ab',
  'aab',
  'abab',
  'A1_',
  '12-3',
  'ä',
  '日本',
  'a\nb',
  '"',
  '\\',
  ']',
  '-',
  '😀',
  ' ',
  'x@y.z',
];

describe('the grammar of a regular expression', () => {
  it.each([
    'a|b',
    'a*b+',
    '(?:ab){1,2}',
    '(a|b)*',
    '(?<name>a)b?',
    '[^a]',
    '[a-cä-ö]+',
    '\\w+',
    '\\d{2}-\\d',
    '\\D\\W?',
    '[\\]\\\\"-]',
    '.*',
    '.',
    'a\\nb',
    '\\u{1F600}|\\u00e4',
    '[^\\s@]+@[^\\s@]+\\.[a-z]',
    '',
    '^a$|b',
    '[ぁ-んー一二三日本]+',
    '\\x41\\d_',
  ])('%s means what it means in JavaScript', async (pattern) => {
    const grammar = grammarOf(pattern);
    const expression = new RegExp(`^(?:${pattern})$`, 'u');
    for (const text of probes) expect(await writer.accepts(grammar, text), text).toBe(expression.test(text));
    const text = await writer.write(grammar);
    if (text !== undefined) expect(text).toMatch(expression);
  });

  it("takes Python's groups", async () => {
    expect(await writer.accepts(grammarOf('(?P<year>[0-9]{4})'), '2024')).toBe(true);
  });

  it.each([
    ['(', 'Unterminated group'],
    ['[z-a]', 'Range out of order'],
    ['(?=a)', 'a look-ahead'],
    ['(?<!a)', 'a look-behind'],
    ['\\bword', 'a word boundary'],
    ['(a)\\1', 'a reference to a group'],
    ['\\p{L}', 'the Unicode property'],
    ['a^b', 'a ^ that is not at its beginning'],
    ['[一-龥]', 'more than 1024 characters'],
    ['(?i:a)', 'flags within it'],
  ])('%s is refused with a reason', (pattern, reason) => {
    expect(() => grammarOf(pattern)).toThrow(reason);
  });
});
