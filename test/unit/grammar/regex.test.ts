import { afterAll, describe, expect, it } from 'vitest';
import { grammarOfWholeRegex as grammarOf } from '../../../functions/grammar/regex.ts';
import { GrammarWriter } from '../../fixtures/grammar-writer.ts';
import { seeded } from '../../fixtures/random-checkpoint.ts';

const writer = new GrammarWriter(seeded(2));
afterAll(() => writer[Symbol.dispose]());

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

  it('keeps alternatives apart that XGrammar takes for each other', async () => {
    const alternatives = ['[4-9]\\d{3}', '[1-9]\\d{4}', '[1-9]\\d{5}', '[1-9]\\d{6}'];
    for (const pattern of [alternatives.join('|'), `(${alternatives.join('|')}|x)y?`]) {
      const grammar = grammarOf(pattern);
      for (let length = 1; length < 9; length++) {
        const text = '6'.repeat(length);
        expect(await writer.accepts(grammar, text), text).toBe(new RegExp(`^(?:${pattern})$`).test(text));
      }
    }
  });

  it('means what JavaScript means, whatever it is', async () => {
    const random = seeded(4);
    for (let i = 0; i < 60; i++) {
      const pattern = randomPattern(random, 4);
      const grammar = grammarOf(pattern);
      const expression = new RegExp(`^(?:${pattern})$`, 'u');
      const written = await writer.write(grammar);
      if (written !== undefined && written.length < 40) expect(written, pattern).toMatch(expression);
      for (let j = 0; j < 8; j++) {
        const text = Array.from(
          { length: Math.floor(random() * 8) },
          () => 'abcd'[Math.floor(random() * 4)],
        ).join('');
        expect(await writer.accepts(grammar, text), `${pattern} ${text}`).toBe(expression.test(text));
      }
    }
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

/** Without repeats in repeats, over which JavaScript may take for ever. */
function randomPattern(random: () => number, depth: number, mayRepeat = true): string {
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
  const inner = () => randomPattern(random, depth - 1, mayRepeat);
  if (depth === 0 || random() < 0.2) return pick(['a', 'b', '[ab]', '[a-c]', '[b-d]', '[^a]', '.']);
  const forms = [
    () => inner() + inner(),
    () => inner() + inner() + inner(),
    () => `(${Array.from({ length: 2 + Math.floor(random() * 4) }, inner).join('|')})`,
  ];
  const repeated = () =>
    `(${randomPattern(random, depth - 1, false)})${pick(['*', '+', '?', '{2}', '{1,3}', '{2,}'])}`;
  return pick(mayRepeat ? [...forms, repeated] : forms)();
}
