import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../artifact/errors.ts';
import type { Tokenizer } from '../../../artifact/tokenizer.ts';
import { cutWindows, qualityOf } from '../../../compressor/evaluate/windows.ts';
import { numberTokenizer as tokenizer } from '../../fixtures/number-tokenizer.ts';

const numbers = (count: number) => Array.from({ length: count }, (_, i) => 100 + i);
const cut = (t: Tokenizer, count: number, window: number, maxTokens?: number) => {
  const { windows, targets, tokens } = cutWindows(t, numbers(count).join(' '), window, maxTokens);
  return {
    windows: windows.map((window) => [...window]),
    targets: targets.map((target) => [...target]),
    tokens,
  };
};

describe('cutWindows', () => {
  it('begins every window as the tokenizer begins a text', () => {
    expect(cut(tokenizer(1), 5, 4)).toEqual({
      windows: [
        [1, 100, 101, 102],
        [1, 103, 104],
      ],
      targets: [
        [100, 101, 102, -1],
        [103, 104, -1],
      ],
      tokens: 5,
    });
  });

  it('predicts no first token where nothing comes before it', () => {
    expect(cut(tokenizer(), 5, 3)).toEqual({
      windows: [
        [100, 101, 102],
        [103, 104],
      ],
      targets: [
        [101, 102, -1],
        [104, -1],
      ],
      tokens: 3,
    });
  });

  it('leaves out what the tokenizer puts after a text', () => {
    const plain = tokenizer(1);
    const encode: Tokenizer['encode'] = (text, { addSpecialTokens = true } = {}) => [
      ...plain.encode(text, { addSpecialTokens }),
      ...(addSpecialTokens ? [2] : []),
    ];
    expect(cut({ ...plain, encode }, 5, 4)).toEqual(cut(plain, 5, 4));
  });

  it('reads no more of a long text than it needs, and all of one with long tokens', () => {
    const plain = tokenizer(1);
    let longest = 0;
    const encode: Tokenizer['encode'] = (text, options) => {
      longest = Math.max(longest, text.length);
      return plain.encode(text, options);
    };
    const few = cut({ ...plain, encode }, 100_000, 16, 40);
    expect(few).toEqual(cut(plain, 200, 16, 40));
    expect(longest).toBeLessThan(2000);
    const spread = numbers(200).join(' '.repeat(100));
    const cuts = cutWindows(plain, spread, 16, 40);
    expect(cuts.windows.map((window) => [...window])).toEqual(few.windows);
  });

  it('leaves out a rest with nothing to predict', () => {
    expect(cut(tokenizer(), 4, 3).windows).toEqual([[100, 101, 102]]);
    expect(cut(tokenizer(1), 4, 4).windows).toHaveLength(2); // here the beginning predicts it
  });

  it('takes every token of the text exactly once', () => {
    const { windows, tokens } = cut(tokenizer(1, 2), 1000, 64);
    expect(windows.flatMap((window) => window.slice(2))).toEqual(numbers(1000));
    expect(Math.max(...windows.map((window) => window.length))).toBe(64);
    expect(tokens).toBe(1000 + windows.length); // the second token of the beginning is predicted too
  });

  it('counts as many tokens as it has targets', () => {
    for (const [t, count, window] of [
      [tokenizer(), 100, 16],
      [tokenizer(1), 97, 16],
      [tokenizer(1, 2), 33, 5],
    ] as const) {
      const { targets, tokens } = cut(t, count, window);
      expect(targets.flat().filter((target) => target >= 0)).toHaveLength(tokens);
    }
  });

  it('ends after the window that reaches the limit', () => {
    expect(cut(tokenizer(1), 1000, 11, 25).tokens).toBe(30);
    expect(cut(tokenizer(1), 1000, 11, 30).tokens).toBe(30);
    expect(cut(tokenizer(1), 12, 11, 1e9).tokens).toBe(12);
  });

  it.each([0, 1])('refuses a text of %i tokens', (count) => {
    expect(() => cut(tokenizer(), count, 16)).toThrow(UsageError);
  });

  it('refuses a window that holds little beside the beginning', () => {
    expect(() => cut(tokenizer(1, 2), 100, 3)).toThrow(UsageError);
    expect(() => cut(tokenizer(), 100, 1)).toThrow(UsageError);
  });
});

describe('qualityOf', () => {
  it('is the mean and its exponential', () => {
    expect(qualityOf(10 * Math.log(8), 10)).toEqual({
      nll: expect.closeTo(Math.log(8), 12),
      perplexity: expect.closeTo(8, 10),
      tokens: 10,
    });
  });
});
