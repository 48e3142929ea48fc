import { describe, expect, it } from 'vitest';
import { InvalidDataError } from '../../../artifact/errors.ts';
import { parseTokenizer } from '../../../artifact/tokenizer.ts';
import { detokenize } from '../../../functions/text/detokenizer.ts';
import { longestToken, tokenPieces } from '../../../functions/text/pieces.ts';
import { golden, testTokenizer, tokenizerKinds } from '../../fixtures/text/tokenizers.ts';

interface Case {
  text: string;
  ids: number[];
  plain: number[];
  decoded: string;
}

const goldens = await golden<Record<string, Case[]>>('tokens.json');

describe.each(tokenizerKinds)('the %s tokenizer agrees with the reference', async (kind) => {
  const tokenizer = await testTokenizer(kind);
  const pieces = tokenPieces(tokenizer);

  it.each(goldens[kind]!.map((entry) => [JSON.stringify(entry.text), entry] as const))(
    '%s',
    (_name, entry) => {
      expect(tokenizer.encode(entry.text)).toEqual(entry.ids);
      expect(tokenizer.encode(entry.text, { addSpecialTokens: false })).toEqual(entry.plain);
      expect(detokenize(pieces, entry.ids)).toBe(entry.decoded);
    },
  );

  it('bounds a text from its longest token', () => {
    for (const { text, plain } of goldens[kind]!) {
      expect(plain.length).toBeGreaterThanOrEqual(Math.ceil(text.length / longestToken(tokenizer)) - 1);
    }
  });
});

describe('parseTokenizer', () => {
  const bytes = (text: string) => new TextEncoder().encode(text);

  it('says which file is wrong', () => {
    expect(() => parseTokenizer({ 'tokenizer.json': bytes('{') }, 'tiny')).toThrow(
      /tiny: tokenizer\.json is no JSON/,
    );
    expect(() => parseTokenizer({ 'tokenizer.json': bytes('[]') }, 'tiny')).toThrow(/should hold an object/);
    expect(() => parseTokenizer({ 'tokenizer.json': bytes('{"model":{"type":"Magic"}}') }, 'tiny')).toThrow(
      InvalidDataError,
    );
  });
});

describe('tokenPieces', () => {
  it.each([{ type: 'CTC' }, { type: 'Sequence', decoders: [{ type: 'WordPiece' }] }, null])(
    'refuses the decoder %j',
    async (decoder) => {
      const tokenizer = await testTokenizer('story');
      expect(() => tokenPieces({ ...tokenizer, decoder })).toThrow(/decoder should be ByteLevel/);
    },
  );
});
