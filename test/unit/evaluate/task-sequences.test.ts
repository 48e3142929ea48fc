import { describe, expect, it } from 'vitest';
import type { Tokenizer } from '../../../artifact/tokenizer.ts';
import { pairEncoder } from '../../../compressor/evaluate/task-sequences.ts';

/**
 * Characters are tokens, and a letter takes the space before it along, as in byte-level vocabularies; "th" is
 * a token of its own.
 */
function tokenizer(...beginning: number[]): Tokenizer {
  const encode = (text: string) => text.match(/ ?th| ?[^ ]| /gu) ?? [];
  return {
    size: 1 << 21,
    encode: (text, { addSpecialTokens = true } = {}) => [
      ...(addSpecialTokens ? beginning : []),
      ...encode(text).map(idOf),
      ...(addSpecialTokens && beginning.length > 0 ? [99] : []), // some end a text, too
    ],
    tokenOf: String,
    idOf: () => undefined,
    addedKind: () => undefined,
    decoder: undefined,
    namedTokens: {},
  };
}
function idOf(token: string): number {
  return [...token].reduce((id, character) => id * 1000 + character.codePointAt(0)!, 0);
}
const ids = (...tokens: string[]) => tokens.map(idOf);

const model = { name: 'm', contextLength: 100, tokens: { bos: 1, eos: [2] } };
function encode(context: string, continuation: string, options: { delimiter?: string; bos?: boolean } = {}) {
  const encoder = pairEncoder(
    { ...model, tokenizer: options.bos ? tokenizer(7) : tokenizer() },
    options.delimiter,
  );
  const { tokens, targets } = encoder.encode(context, continuation, 'here');
  return { tokens: [...tokens], targets: [...targets] };
}

describe('pairEncoder', () => {
  it('predicts the tokens of the continuation, its space included', () => {
    expect(encode('ab', 'cd')).toEqual({
      tokens: ids('a', 'b', ' c'),
      targets: ids(' c', 'd'),
    });
  });

  it.each([
    ['ab ', 'cd'],
    ['ab', ' cd'],
  ])('puts no second space between %j and %j', (context, continuation) => {
    expect(encode(context, continuation)).toEqual(encode('ab', 'cd'));
  });

  it('moves white space between them to the continuation', () => {
    expect(encode('ab\n', 'cd')).toEqual({ tokens: ids('a', 'b', '\n', 'c'), targets: ids('\n', 'c', 'd') });
  });

  it('takes a delimiter of its own as a part of the context', () => {
    expect(encode('a', 'b', { delimiter: '\nA: ' })).toEqual({
      tokens: ids('a', '\n', 'A', ':'),
      targets: ids(' b'),
    });
    expect(encode('a', 'b', { delimiter: '' })).toEqual({ tokens: ids('a'), targets: ids('b') });
    expect(encode('a ', 'b', { delimiter: ' ' })).toEqual({ tokens: ids('a', ' '), targets: ids(' ', ' b') });
  });

  it('encodes both as one text and splits at the tokens of the context', () => {
    // "at" alone is "a", "t"; in the whole, "h" has gone into the context's last token.
    expect(encode('at', 'h!', { delimiter: '' })).toEqual({ tokens: ids('a', 'th'), targets: ids('!') });
  });

  it('begins as the tokenizer begins a text, and leaves the end out', () => {
    expect(encode('ab', 'c', { bos: true })).toEqual({ tokens: [7, ...ids('a', 'b')], targets: ids(' c') });
  });

  it('predicts from a beginning where the context is empty', () => {
    expect(encode('', 'cd')).toEqual({ tokens: [1, ...ids('c')], targets: ids('c', 'd') });
    expect(encode('', 'cd', { bos: true })).toEqual({ tokens: [7, ...ids('c')], targets: ids('c', 'd') });
    expect(encode(' ', 'cd')).toEqual({ tokens: [1, ...ids(' c')], targets: ids(' c', 'd') });
    const without = { ...model, tokenizer: tokenizer(), tokens: { bos: undefined, eos: [2] } };
    expect([...pairEncoder(without).encode('', 'c', 'here').tokens]).toEqual([2]);
    const none = { ...without, tokens: { bos: undefined, eos: [] } };
    expect(() => pairEncoder(none).encode('', 'c', 'here')).toThrow(
      /^here: the context is empty, and m has no/,
    );
  });

  it('drops the start of what the model cannot see at once', () => {
    const short = (contextLength: number) => pairEncoder({ ...model, contextLength, tokenizer: tokenizer() });
    expect(short(5).encode('abcd', 'ef', 'here')).toMatchObject({ dropped: 0 });
    const { tokens, targets, dropped } = short(3).encode('abcd', 'ef', 'here');
    expect([[...tokens], [...targets], dropped]).toEqual([ids('c', 'd', ' e'), ids(' e', 'f'), 2]);
    expect([...short(2).encode('abcd', 'ef', 'here').tokens]).toEqual(ids('d', ' e'));
    expect(() => short(1).encode('abcd', 'ef', 'here')).toThrow(
      'here: a continuation has 2 tokens, and m sees 1',
    );
  });

  it('refuses a continuation that is no token more than its context', () => {
    expect(encode('at', 'hx', { delimiter: '' }).targets).toEqual(ids('x'));
    expect(() => encode('t', 'h', { delimiter: '' })).toThrow(
      /^here: the continuation "h" has no token of its own/,
    );
  });
});
