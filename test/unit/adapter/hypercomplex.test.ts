import { describe, expect, it } from 'vitest';
import {
  addHypercomplexGradient,
  componentCounts,
  type Hypercomplex,
  hypercomplexIdentity,
  hypercomplexMatrix,
} from '../../../compressor/adapter/hypercomplex.ts';
import { randomArray, seeded } from '../../fixtures/random-checkpoint.ts';

function drawn(n: number, size: number): Hypercomplex {
  const random = seeded(9);
  return { bases: randomArray(n ** 3, random), factors: randomArray(size ** 2 / n, random) };
}

function product(a: ArrayLike<number>, b: ArrayLike<number>, n: number): number[] {
  return Array.from({ length: n * n }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += a[Math.floor(i / n) * n + k]! * b[k * n + (i % n)]!;
    return sum + 0; // no -0
  });
}

describe('a hypercomplex matrix', () => {
  it.each(componentCounts)('of %i components starts as the identity', (components) => {
    const matrix = hypercomplexMatrix(hypercomplexIdentity(components, 8), 8);
    expect([...matrix]).toEqual(Array.from({ length: 64 }, (_, i) => (i % 9 === 0 ? 1 : 0)));
  });

  it('starts over the units of quaternions', () => {
    const { bases } = hypercomplexIdentity(4, 4);
    const [one, i, j, k] = [0, 1, 2, 3].map((unit) => [...bases.slice(unit * 16, unit * 16 + 16)]);
    const minus = one!.map((value) => 0 - value);
    for (const unit of [i, j, k]) expect(product(unit!, unit!, 4)).toEqual(minus);
    expect(product(i!, j!, 4)).toEqual(k!.map((value) => value + 0));
    expect(product(j!, k!, 4)).toEqual(i!.map((value) => value + 0));
    expect(product(k!, i!, 4)).toEqual(j!.map((value) => value + 0));
  });

  it.each(componentCounts)('is a sum of Kronecker products, of %i components', (n) => {
    const size = 8;
    const part = size / n;
    const { bases, factors } = drawn(n, size);
    const wanted = new Float64Array(size * size);
    for (let c = 0; c < n; c++) {
      for (let [a, i] = [0, 0]; a < n; a++, i += part) {
        for (let [b, j] = [0, 0]; b < n; b++, j += part) {
          for (let p = 0; p < part; p++) {
            for (let q = 0; q < part; q++)
              wanted[(i + p) * size + j + q]! +=
                bases[c * n * n + a * n + b]! * factors[(c * part + p) * part + q]!;
          }
        }
      }
    }
    const found = hypercomplexMatrix({ bases, factors }, size);
    for (const [at, value] of wanted.entries()) expect(found[at]).toBeCloseTo(value, 12);
  });

  it.each(componentCounts)('has the gradient by which it moves, of %i components', (n) => {
    const size = 8;
    const at = drawn(n, size);
    const random = seeded(4);
    const weights = Float64Array.from({ length: size * size }, () => random() - 0.5);
    const value = (parts: Hypercomplex) =>
      hypercomplexMatrix(parts, size).reduce((sum, x, i) => sum + x * weights[i]!, 0);
    const found = {
      bases: new Float32Array(n ** 3).fill(1),
      factors: new Float32Array(size ** 2 / n).fill(1),
    };
    addHypercomplexGradient(at, weights, size, found);
    for (const part of ['bases', 'factors'] as const) {
      for (const [i, gradient] of found[part].entries()) {
        // Linear in each part, so any step will do.
        const moved = { ...at, [part]: at[part].map((x, k) => (k === i ? x + 1 : x)) };
        expect(value(moved) - value(at)).toBeCloseTo(gradient - 1, 5);
      }
    }
  });
});
