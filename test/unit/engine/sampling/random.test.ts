import { describe, expect, it } from 'vitest';
import { randomSource } from '../../../../functions/engine/sampling/random.ts';
import { chiSquareLimit, chiSquareOf } from '../../../fixtures/statistics.ts';

const draw = (seed: number | undefined, count: number) => {
  const next = randomSource(seed);
  return Array.from({ length: count }, next);
};

describe('randomSource', () => {
  it('is uniform, and so are the differences between neighbours', () => {
    const numbers = draw(1, 100_000);
    const bins = (values: number[]) => {
      const counts = new Array<number>(64).fill(0);
      for (const value of values) counts[Math.floor(value * 64)]!++;
      return counts;
    };
    const uniform = new Array<number>(64).fill(1 / 64);
    expect(chiSquareOf(bins(numbers), uniform)).toBeLessThan(chiSquareLimit(63));
    const differences = numbers.map((value, i) => (value - (numbers[i - 1] ?? 0) + 1) % 1);
    expect(chiSquareOf(bins(differences), uniform)).toBeLessThan(chiSquareLimit(63));
  });

  it('stays in [0, 1)', () => {
    for (const value of draw(2, 100_000)) {
      expect(value >= 0 && value < 1).toBe(true);
    }
  });

  it('is uniform over seeds too: the first number of neighbouring seeds tells nothing', () => {
    const counts = new Array<number>(64).fill(0);
    for (let seed = 0; seed < 20_000; seed++) counts[Math.floor(randomSource(seed)() * 64)]!++;
    expect(chiSquareOf(counts, new Array(64).fill(1 / 64))).toBeLessThan(chiSquareLimit(63));
  });

  it('repeats itself for a seed', () => {
    expect(draw(42, 100)).toEqual(draw(42, 100));
  });

  it.each([
    [0, 1],
    [1, 2 ** 32 + 1], // the same low half
    [5, -5],
    [2 ** 52, 2 ** 52 + 1],
    [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER],
  ])('differs between the seeds %d and %d', (a, b) => {
    expect(draw(a, 10)).not.toEqual(draw(b, 10));
  });

  it('differs from call to call without a seed', () => {
    expect(draw(undefined, 10)).not.toEqual(draw(undefined, 10));
  });

  it('has no short cycle', () => {
    const next = randomSource(3);
    const first = [next(), next(), next()].join();
    let window = [next(), next(), next()];
    for (let i = 0; i < 100_000; i++) {
      if (window.join() === first) throw new Error(`repeats after ${i}`);
      window = [window[1]!, window[2]!, next()];
    }
  });
});
