import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../artifact/errors.ts';
import { cutStridedWindows, type StrideOptions } from '../../../compressor/evaluate/strided-windows.ts';
import { cutWindows } from '../../../compressor/evaluate/windows.ts';
import { numberTokenizer } from '../../fixtures/number-tokenizer.ts';

const numbers = (count: number) => Array.from({ length: count }, (_, i) => 100 + i);
const textOf = (count: number) => numbers(count).join(' ');

function cut(beginning: number[], count: number, options: StrideOptions) {
  const { windows, targets, tokens } = cutStridedWindows(
    numberTokenizer(...beginning),
    textOf(count),
    options,
  );
  return { windows: windows.map((w) => [...w]), targets: targets.map((t) => [...t]), tokens };
}

describe('cutStridedWindows', () => {
  it('predicts in each window what no earlier one held', () => {
    expect(cut([], 9, { length: 4, stride: 2, bos: 'first' })).toEqual({
      windows: [
        [100, 101, 102, 103],
        [102, 103, 104, 105],
        [104, 105, 106, 107],
        [106, 107, 108],
      ],
      targets: [
        [101, 102, 103, -1],
        [-1, 104, 105, -1],
        [-1, 106, 107, -1],
        [-1, 108, -1],
      ],
      tokens: 8,
    });
  });

  it('begins the text alone, or every window', () => {
    expect(cut([1], 5, { length: 4, stride: 2, bos: 'first' })).toEqual({
      windows: [
        [1, 100, 101, 102],
        [101, 102, 103, 104],
      ],
      targets: [
        [100, 101, 102, -1],
        [-1, 103, 104, -1],
      ],
      tokens: 5,
    });
    expect(cut([1], 5, { length: 4, stride: 2, bos: 'each' })).toEqual({
      windows: [
        [1, 100, 101, 102],
        [1, 102, 103, 104],
      ],
      targets: [
        [100, 101, 102, -1],
        [-1, 103, 104, -1],
      ],
      tokens: 5,
    });
  });

  it.each([
    [[], 'first'],
    [[1], 'first'],
    [[1, 2], 'each'],
  ] as const)(
    'counts every token of the text once, whatever the stride (beginning %j, %s)',
    (beginning, bos) => {
      for (const stride of [1, 2, 5, 7, 13, 14]) {
        const { windows, targets, tokens } = cut([...beginning], 100, { length: 16, stride, bos });
        const all = targets.flat().filter((target) => target >= 0);
        const own = bos === 'first' ? [...beginning, ...numbers(100)].slice(1) : numbers(100);
        expect(all).toEqual(own);
        expect(tokens).toBe(own.length);
        expect(Math.max(...windows.map((window) => window.length))).toBe(16);
        // A target is the token that stands next in its window.
        for (const [i, window] of windows.entries()) {
          for (const [t, target] of targets[i]!.entries())
            if (target >= 0) expect(window[t + 1]).toBe(target);
        }
      }
    },
  );

  it('is cutWindows where nothing overlaps', () => {
    const { windows, targets, tokens } = cutWindows(numberTokenizer(1), textOf(40), 16);
    expect(
      cutStridedWindows(numberTokenizer(1), textOf(40), { length: 16, stride: 15, bos: 'each' }),
    ).toEqual({
      windows,
      targets,
      tokens,
    });
  });

  it('ends after the window that reaches the limit', () => {
    const options = { length: 11, stride: 5, bos: 'first' } as const;
    expect(cut([], 1000, { ...options, maxTokens: 12 }).tokens).toBe(15); // 10, then 5
    expect(cut([], 1000, { ...options, maxTokens: 15 }).tokens).toBe(15);
    expect(cut([], 8, { ...options, maxTokens: 1e9 }).tokens).toBe(7);
  });

  it.each([0, -1, 17, 1000])('refuses a stride of %i in windows of 16', (stride) => {
    expect(() => cut([], 100, { length: 16, stride, bos: 'first' })).toThrow(/stride can be 1 to 16/);
    expect(() => cut([], 100, { length: 16, stride, bos: 'first' })).toThrow(UsageError);
  });

  it('refuses a stride that would skip what the beginning takes the place of', () => {
    expect(() => cut([1], 100, { length: 16, stride: 16, bos: 'each' })).toThrow(
      'A window of 16 tokens holds 15 of the text beside its beginning of 1: the stride can be 1 to 15, not 16.',
    );
    expect(cut([1], 100, { length: 16, stride: 16, bos: 'first' }).tokens).toBe(100 - 6);
  });

  it.each([0, 1])('refuses a text of %i tokens', (count) => {
    expect(() => cut([], count, { length: 16, stride: 8, bos: 'first' })).toThrow(/fewer than two tokens/);
  });
});
