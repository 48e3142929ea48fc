import { describe, expect, it } from 'vitest';
import { repetitionOf, summaryOf } from '../../../compressor/evaluate/repetition.ts';

const numbers = (count: number, first = 0) => Array.from({ length: count }, (_, i) => first + i);

describe('repetitionOf', () => {
  it('counts different runs', () => {
    // a b a b c: a, b, c of 5; ab, ba, bc of 4; aba, bab, abc of 3; no run of 4 twice.
    expect(repetitionOf([1, 2, 1, 2, 3])).toEqual({ distinct: [3 / 5, 3 / 4, 1], repeated: 0, loops: false });
    expect(repetitionOf([1, 2, 3, 4, 1, 2, 3, 4])).toMatchObject({
      repeated: expect.closeTo(1 / 5, 12),
    });
    expect(repetitionOf(Int32Array.from([5, 5, 5, 5, 5]))).toMatchObject({
      distinct: [1 / 5, 1 / 4, 1 / 3],
      repeated: 1 / 2,
    });
  });

  it('does not take tokens for the digits of others', () => {
    expect(repetitionOf([1, 11, 111, 1111]).distinct[1]).toBe(1);
    expect(repetitionOf([1, 11, 1, 11, 11, 1]).distinct[1]).toBe(3 / 5);
  });

  it.each([[[]], [[1]], [[1, 2, 3]]])('calls %j, which is too short, without repetition', (tokens) => {
    expect(repetitionOf(tokens)).toEqual({ distinct: [1, 1, 1], repeated: 0, loops: false });
  });

  it.each<[string, number[], boolean]>([
    ['one token twelve times', [...numbers(5), ...new Array(12).fill(7)], true],
    ['one token eleven times', [...numbers(5), ...new Array(11).fill(7)], false],
    ['a run of five, three times', [...numbers(9, 50), ...numbers(5), ...numbers(5), ...numbers(5)], true],
    ['and broken off in the fourth', [...numbers(5), ...numbers(5), ...numbers(5), ...numbers(2)], true],
    ['a run of five, twice', [...numbers(9, 50), ...numbers(5), ...numbers(5)], false],
    ['a loop that it leaves', [...numbers(5), ...numbers(5), ...numbers(5), 99], false],
    ['a run of thirty, three times', [...numbers(30), ...numbers(30), ...numbers(30)], true],
    ['no repetition', numbers(100), false],
  ])('%s: %j is a loop: %s', (_, tokens, loops) => {
    expect(repetitionOf(tokens).loops).toBe(loops);
  });
});

describe('summaryOf', () => {
  it('is the mean of the texts, however long they are', () => {
    const texts = [numbers(100), new Array(20).fill(3)].map(repetitionOf);
    expect(summaryOf(texts)).toEqual({
      distinct: [(1 + 1 / 20) / 2, (1 + 1 / 19) / 2, (1 + 1 / 18) / 2],
      repeated: expect.closeTo((1 - 1 / 17) / 2, 12),
      loops: 0.5,
    });
  });
});
