import { describe, expect, it } from 'vitest';
import { eigenOfSymmetric } from '../../../compressor/adapter/symmetric-eigen.ts';
import { randomArray, seeded } from '../../fixtures/random-checkpoint.ts';

describe('eigenvalues and vectors of a symmetric matrix', () => {
  it.each([1, 2, 7, 40])('put it together again, %i rows', (size) => {
    const random = randomArray(size * size, seeded(size));
    const matrix = Float64Array.from(random, (_, k) => {
      const [i, j] = [Math.floor(k / size), k % size];
      return random[i * size + j]! + random[j * size + i]!;
    });
    const { values, vectors } = eigenOfSymmetric(matrix, size);
    const at = (i: number, j: number, f: (k: number) => number) => {
      let sum = 0;
      for (let k = 0; k < size; k++) sum += f(k) * vectors[k * size + i]! * vectors[k * size + j]!;
      return sum;
    };
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) {
        expect(at(i, j, (k) => values[k]!)).toBeCloseTo(matrix[i * size + j]!, 10);
        expect(at(i, j, () => 1)).toBeCloseTo(i === j ? 1 : 0, 10);
      }
    }
    expect([...values]).toEqual([...values].sort((x, y) => y - x));
  });

  it('leaves the matrix as it is', () => {
    const matrix = Float64Array.of(2, 1, 1, 2);
    expect([...eigenOfSymmetric(matrix, 2).values]).toEqual([3, 1].map((value) => expect.closeTo(value, 12)));
    expect([...matrix]).toEqual([2, 1, 1, 2]);
  });
});
