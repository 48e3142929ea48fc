import { describe, expect, it } from 'vitest';
import { encodeInTurns } from '../../../functions/text/encode-in-turns.ts';
import { randomText } from '../../fixtures/random-text.ts';
import { testTokenizer, tokenizerKinds } from '../../fixtures/text/tokenizers.ts';

const prose = 'Once upon a time there was a fox who could not sleep. '.repeat(1000);

describe.each(tokenizerKinds)('encodeInTurns (%s)', async (kind) => {
  const tokenizer = await testTokenizer(kind);

  it.each([true, false])('gives the tokens of encode (special ones: %s)', async (addSpecialTokens) => {
    for (const text of ['', 'a fox', prose, `${prose}\n`, randomText(1, 20_000), randomText(2, 20_000)]) {
      const tokens = await encodeInTurns(tokenizer, text, { addSpecialTokens });
      expect(tokens).toEqual(tokenizer.encode(text, { addSpecialTokens }));
    }
  });
});

describe('encodeInTurns', () => {
  it('lets others have their turn every few thousand characters', async () => {
    const tokenizer = await testTokenizer('story');
    let turns = 0;
    let isDone = false;
    const count = () => {
      turns++;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    await encodeInTurns(tokenizer, prose);
    isDone = true;
    expect(turns).toBeGreaterThan(prose.length / 5000);
  });
});
