import { afterAll, describe, expect, it } from 'vitest';
import { TruncatedSvd } from '../../../compressor/adapter/truncated-svd.ts';
import { randomArray, seeded } from '../../fixtures/random-checkpoint.ts';

/** A matrix whose singular values are known: reflected diagonals have the same. */
function withSingularValues([rows, columns]: [number, number], values: number[]): Float32Array {
  const matrix = new Float64Array(rows * columns);
  for (const [i, value] of values.entries()) matrix[i * columns + i] = value;
  for (let turn = 0; turn < 3; turn++) {
    const [u, v] = [unit(rows, 2 * turn + 1), unit(columns, 2 * turn + 2)];
    for (let r = 0; r < rows; r++) {
      const along = v.reduce((sum, value, c) => sum + value * matrix[r * columns + c]!, 0);
      for (let c = 0; c < columns; c++) matrix[r * columns + c]! -= 2 * along * v[c]!;
    }
    for (let c = 0; c < columns; c++) {
      const along = u.reduce((sum, value, r) => sum + value * matrix[r * columns + c]!, 0);
      for (let r = 0; r < rows; r++) matrix[r * columns + c]! -= 2 * along * u[r]!;
    }
  }
  return Float32Array.from(matrix);
}

function unit(length: number, seed: number): number[] {
  const vector = [...randomArray(length, seeded(seed))];
  const size = Math.hypot(...vector);
  return vector.map((value) => value / size);
}

function error(matrix: Float32Array, { down, up }: { down: Float32Array; up: Float32Array }, rank: number) {
  const columns = down.length / rank;
  let sum = 0;
  for (let k = 0; k < matrix.length; k++) {
    const [row, column] = [Math.floor(k / columns), k % columns];
    let value = matrix[k]!;
    for (let r = 0; r < rank; r++) value -= up[row * rank + r]! * down[r * columns + column]!;
    sum += value * value;
  }
  return Math.sqrt(sum);
}

describe('the best matrix of a rank', () => {
  const svd = new TruncatedSvd();
  afterAll(() => svd[Symbol.dispose]());

  it.each<[string, (i: number) => number]>([
    ['falling fast', (i) => 0.8 ** i],
    ['falling slowly', (i) => 1 / (1 + 0.02 * i)],
    ['flat', () => 1],
  ])('leaves the singular values beyond it, %s', (_, value) => {
    const shape: [number, number] = [150, 90];
    const values = Array.from({ length: 90 }, (_, i) => value(i));
    const matrix = withSingularValues(shape, values);
    for (const rank of [1, 8, 32]) {
      const least = Math.hypot(...values.slice(rank));
      const found = error(matrix, svd.run(matrix, shape, rank), rank);
      expect(found / least).toBeGreaterThan(0.999);
      expect(found / least).toBeLessThan(1.01);
    }
  });

  it('is the matrix itself where its rank is no more', () => {
    const matrix = withSingularValues([40, 60], [5, 3, 2]);
    expect(error(matrix, svd.run(matrix, [40, 60], 4), 4)).toBeLessThan(1e-4);
    const zero = new Float32Array(40 * 60);
    expect(svd.run(zero, [40, 60], 2).up.every((value) => value === 0)).toBe(true);
  });

  it('shares the singular values out to both sides', () => {
    const matrix = withSingularValues([30, 20], [16, 4]);
    const { down, up } = svd.run(matrix, [30, 20], 2);
    expect(Math.hypot(...down.subarray(0, 20))).toBeCloseTo(4, 4);
    expect(Math.hypot(...down.subarray(20))).toBeCloseTo(2, 4);
    expect(Math.hypot(...up.filter((_, i) => i % 2 === 0))).toBeCloseTo(4, 4);
  });
});
