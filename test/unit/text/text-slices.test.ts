import { describe, expect, it } from 'vitest';
import { slicesOf, slicingRule } from '../../../artifact/text-slices.ts';
import { parseTokenizer, type Tokenizer } from '../../../artifact/tokenizer.ts';
import { expectSameTokens } from '../../fixtures/sliced-tokens.ts';
import { golden, testTokenizer } from '../../fixtures/text/tokenizers.ts';

/** The tokenizer of the fixture without its tokens that lie across spaces, which no published model has. */
async function withoutTokensAcross(): Promise<Tokenizer> {
  type Json = { model: { vocab: Record<string, number>; merges: [string, string][] } };
  const json = await golden<Json>('sentencepiece.json');
  const isAcross = (token: string) => /[^▁]▁/.test(token);
  const { vocab, merges } = json.model;
  json.model.vocab = Object.fromEntries(Object.entries(vocab).filter(([token]) => !isAcross(token)));
  json.model.merges = merges.filter(([left, right]) => !isAcross(left + right));
  return parseTokenizer({ 'tokenizer.json': Buffer.from(JSON.stringify(json)) }, 'sentencepiece.json');
}

describe('slices have the tokens of the whole', () => {
  it('where words are split by a pattern', async () => {
    const tokenizer = await testTokenizer('story');
    expect(tokenizer.slicing).toEqual({ dropsSpace: false });
    expectSameTokens(tokenizer, 4000);
  });

  it('where nothing splits words, and no token lies across', async () => {
    const tokenizer = await withoutTokensAcross();
    expect(tokenizer.slicing).toEqual({ dropsSpace: true });
    expectSameTokens(tokenizer, 4000);
  });

  it('or are not made', async () => {
    const tokenizer = await testTokenizer('sentencepiece');
    expect(tokenizer.idOf('d▁that▁')).toBeDefined();
    expect(tokenizer.slicing).toBeUndefined();
  });
});

describe('slices', () => {
  const cut = (text: string, characters: number, dropsSpace = false) => [
    ...slicesOf(text, { dropsSpace }, characters),
  ];

  it('end between a letter and a space before a letter, the first after so many characters', () => {
    expect(cut('one two  three, four. Five 6 seven', 0)).toEqual(['one', ' two  three, four. Five 6 seven']);
    expect(cut('one two three four', 5)).toEqual(['one two', ' three', ' four']);
    expect(cut('one two three four', 5, true)).toEqual(['one two', 'three four']);
    expect(cut('a b c d', 0)).toEqual(['a', ' b', ' c', ' d']);
    expect(cut('', 5)).toEqual([]);
    expect(cut('x'.repeat(100), 5)).toEqual(['x'.repeat(100)]);
  });
});

const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const split = (Regex: string) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false });
const bytes = { type: 'ByteLevel', use_regex: false };
const marked = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };

describe('texts are cut', () => {
  it.each<[string, Parameters<typeof slicingRule>[0]]>([
    ["by GPT-2's own pre-tokenizer", { pre_tokenizer: { type: 'ByteLevel' } }],
    ['by its pattern', { pre_tokenizer: { type: 'Sequence', pretokenizers: [split(gpt2), bytes] } }],
    [
      'after digits',
      { pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Digits' }, { type: 'ByteLevel' }] } },
    ],
    ['with NFC', { normalizer: { type: 'NFC' }, pre_tokenizer: { type: 'ByteLevel' } }],
    ['where spaces are marked', { normalizer: marked }],
    [
      'beside special tokens',
      { normalizer: marked, added_tokens: [{ content: '<|a b|>' }, { content: '\n' }] },
    ],
  ])('%s', (_how, json) => {
    // `<|a b|>` has a letter, a space and a letter: see below.
    const isHarmful = json.added_tokens?.some(({ content }) => content.includes('a b'));
    expect(slicingRule(json, ['▁a', 'b'])).toEqual(isHarmful ? undefined : { dropsSpace: false });
  });

  it.each<[string, Parameters<typeof slicingRule>[0], string[]?]>([
    ['by an unknown pattern', { pre_tokenizer: split('\\p{L}+ \\p{L}+|\\s+') }],
    ['by digits alone', { pre_tokenizer: { type: 'Sequence', pretokenizers: [split('\\p{N}'), bytes] } }],
    ['by another pre-tokenizer', { pre_tokenizer: { type: 'Whitespace' } }],
    ['by an inverted pattern', { pre_tokenizer: { ...split(gpt2), invert: true } }],
    ['where nothing parts words', {}],
    ['by another normalizer', { normalizer: { type: 'Lowercase' }, pre_tokenizer: { type: 'ByteLevel' } }],
    ['beside a token with a space', { normalizer: marked, added_tokens: [{ content: '<a b>' }] }],
    ['beside a token that begins with a letter', { normalizer: marked, added_tokens: [{ content: 'tool' }] }],
    ['beside a token that ends with one', { normalizer: marked, added_tokens: [{ content: '@tool' }] }],
    ['where a token lies across', { normalizer: marked }, ['▁of', 'of▁the']],
  ])('not %s', (_how, json, vocabulary = ['▁a', 'b']) => {
    expect(slicingRule(json, vocabulary)).toBeUndefined();
  });
});
