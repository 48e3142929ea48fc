import { describe, expect, it } from 'vitest';
import type { Tokenizer } from '../../../artifact/tokenizer.ts';
import { Detokenizer, detokenize } from '../../../functions/text/detokenizer.ts';
import { type TokenPieces, tokenPieces } from '../../../functions/text/pieces.ts';
import { randomIntegers } from '../../fixtures/random.ts';
import { golden, testTokenizer, tokenizerKinds } from '../../fixtures/text/tokenizers.ts';

const replacement = '\uFFFD';

function stream(pieces: TokenPieces, calls: number[][]): string[] {
  const detokenizer = new Detokenizer(pieces, { continues: false });
  return [...calls.map((tokens) => detokenizer.push(tokens)), detokenizer.end()];
}

/** The definition: all bytes at once, decoded by Node. */
function reference(pieces: TokenPieces, tokens: number[]): string {
  const bytes = tokens.map((token) => Buffer.from(pieces.of(token)));
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(bytes));
  return pieces.leadingSpaces > 0 && text.startsWith(' ') ? text.slice(pieces.leadingSpaces) : text;
}

describe.each(tokenizerKinds)('Detokenizer (%s)', async (kind) => {
  const tokenizer = await testTokenizer(kind);
  const pieces = tokenPieces(tokenizer);
  const texts = Object.values(await golden<Record<string, { text: string }[]>>('tokens.json'))
    .flat()
    .map(({ text }) => text);

  it('streams the same text that the whole gives, and never half a character', () => {
    for (const text of texts) {
      const tokens = tokenizer.encode(text);
      const deltas = stream(
        pieces,
        tokens.map((token) => [token]),
      );
      expect(deltas.join('')).toBe(detokenize(pieces, tokens));
      for (const delta of deltas) {
        expect(delta.isWellFormed(), JSON.stringify(delta)).toBe(true);
        expect(delta).not.toContain(replacement);
      }
    }
  });

  it('holds for random tokens in random calls, broken characters included', () => {
    const random = randomIntegers(7);
    let broken = 0;
    for (let round = 0; round < 2000; round++) {
      const tokens = Array.from({ length: random(24) }, () => random(tokenizer.size + 5));
      const calls: number[][] = [];
      for (let at = 0; at < tokens.length; ) {
        const length = 1 + random(3);
        calls.push(tokens.slice(at, at + length));
        at += length;
      }
      const text = stream(pieces, calls).join('');
      expect(text).toBe(reference(pieces, tokens));
      if (text.includes(replacement)) broken++;
    }
    expect(broken).toBeGreaterThan(100);
  });

  it('gives a torn character out as soon as it is whole', () => {
    const bytes = [...Buffer.from('👩')].map((byte) => byteToken(tokenizer, kind, byte));
    expect(bytes).toHaveLength(4);
    expect(
      stream(
        pieces,
        bytes.map((token) => [token]),
      ),
    ).toEqual(['', '', '', '👩', '']);
  });

  it('ends a text inside a character with one replacement', () => {
    const bytes = [0xe2, 0x82].map((byte) => byteToken(tokenizer, kind, byte));
    expect(stream(pieces, [bytes])).toEqual(['', replacement]);
  });

  it('gives control tokens and ids beyond the vocabulary no text', () => {
    expect(detokenize(pieces, [0, tokenizer.size, tokenizer.size + 100])).toBe('');
  });
});

describe('Detokenizer', () => {
  it('drops the space before the first word of a text, not of its continuation', async () => {
    const tokenizer = await testTokenizer('sentencepiece');
    const pieces = tokenPieces(tokenizer);
    const tokens = tokenizer.encode('Once', { addSpecialTokens: false });
    const text = (continues: boolean) => new Detokenizer(pieces, { continues }).push(tokens);
    expect(text(false)).toBe('Once');
    expect(text(true)).toBe(' Once');
  });

  it('costs the same for every token', () => {
    // A piece is asked for once per token: the text before it is not decoded again.
    let asked = 0;
    const counting: TokenPieces = {
      leadingSpaces: 0,
      of: () => {
        asked++;
        return 'a';
      },
    };
    const detokenizer = new Detokenizer(counting, { continues: false });
    for (let i = 0; i < 1000; i++) expect(detokenizer.push([i])).toBe('a');
    expect(asked).toBe(1000);
  });
});

function byteToken(tokenizer: Tokenizer, kind: string, byte: number): number {
  if (kind === 'sentencepiece') return tokenizer.idOf(`<0x${byte.toString(16).toUpperCase()}>`)!;
  // In byte-level spelling U+0100 and up stand for the bytes that do not print; 0x80 to 0x9F begin at U+0122.
  const character = byte >= 0x7f && byte <= 0xa0 ? 0x121 + (byte - 0x7f) : byte;
  return tokenizer.idOf(String.fromCodePoint(character))!;
}
