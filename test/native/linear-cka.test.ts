import { describe, expect, it } from 'vitest';
import { LinearCka } from '../../compressor/rank/linear-cka.ts';
import { randomArray, seeded } from '../fixtures/random-checkpoint.ts';

const [tokens, width] = [30, 8];

/** By the Hilbert-Schmidt criterion of centred Gram matrices, [tokens, tokens]: the paper's other form. */
function byGram(x: Float32Array, y: Float32Array): number {
  const gram = (rows: Float32Array) => {
    const g = Array.from({ length: tokens }, (_, i) =>
      Array.from({ length: tokens }, (_, j) => {
        let dot = 0;
        for (let k = 0; k < width; k++) dot += rows[i * width + k]! * rows[j * width + k]!;
        return dot;
      }),
    );
    const mean = (row: number[]) => row.reduce((sum, value) => sum + value, 0) / tokens;
    const rowMeans = g.map(mean);
    const all = mean(rowMeans);
    return g.map((row, i) => row.map((value, j) => value - rowMeans[i]! - rowMeans[j]! + all));
  };
  const hsic = (a: number[][], b: number[][]) =>
    a.reduce((sum, row, i) => sum + row.reduce((part, value, j) => part + value * b[i]![j]!, 0), 0);
  const [k, l] = [gram(x), gram(y)];
  return hsic(k, l) / Math.sqrt(hsic(k, k) * hsic(l, l));
}

describe('linear CKA', () => {
  it('is what centred Gram matrices say, however the tokens lie in windows', () => {
    const cka = new LinearCka(width);
    const x = randomArray(tokens * width, seeded(1), 1, 0.5);
    const y = x.map((value, i) => value + 2 * randomArray(tokens * width, seeded(2))[i]!);
    const halves = (all: Float32Array) => [all.subarray(0, 12 * width), all.subarray(12 * width)];
    const [a, b] = [cka.centred(halves(x)), cka.centred([y])];
    expect(cka.of(a, b)).toBeCloseTo(byGram(x, y), 5);
    expect(cka.of(b, a)).toBeCloseTo(cka.of(a, b), 6);
    expect(cka.of(a, b)).toBeLessThan(0.9);
    // Blind to scale, shift and a change of axes.
    const turned = x.map((_, i) => 3 * x[i - (i % width) + ((i + 1) % width)]! + 5);
    expect(cka.of(a, cka.centred([turned]))).toBeCloseTo(1, 5);
    expect(cka.of(a, cka.centred([new Float32Array(x.length)]))).toBe(0);
    cka[Symbol.dispose]();
  });
});
