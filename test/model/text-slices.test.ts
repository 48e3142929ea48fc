import { describe, expect, it } from 'vitest';
import { parseTokenizer } from '../../artifact/tokenizer.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { realModel } from '../fixtures/models.ts';
import { expectSameTokens } from '../fixtures/sliced-tokens.ts';

describe('slices have the tokens of the whole', () => {
  // Digits and GPT-2's pattern; Qwen's pattern with NFC; SentencePiece.
  for (const name of ['smollm2', 'qwen', 'gemma'] as const) {
    it(name, async (ctx) => {
      const checkpoint = await openCheckpoint(realModel(ctx, name));
      const tokenizer = parseTokenizer(await checkpoint.tokenizerFiles(), name);
      await checkpoint.close();
      expect(tokenizer.slicing).toEqual({ dropsSpace: false });
      expectSameTokens(tokenizer, 1500);
    });
  }
});
