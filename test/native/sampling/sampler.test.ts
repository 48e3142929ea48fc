import { describe, expect, it } from 'vitest';
import type { Sampling } from '../../../functions/engine/engine.ts';
import { Sampler } from '../../../functions/engine/sampling/sampler.ts';
import { argmax } from '../../../functions/engine/sampling/selection.ts';
import { VocabularyWeights } from '../../../functions/engine/sampling/vocabulary-weights.ts';
import { seeded } from '../../fixtures/random-checkpoint.ts';
import { chiSquareLimit, chiSquareOf } from '../../fixtures/statistics.ts';

const everything: Sampling = { temperature: 1, topP: 1, topK: 0, minP: 0 };
const draws = 20_000;

function softmax(logits: Float32Array, temperature: number): number[] {
  const highest = Math.max(...logits);
  const weights = [...logits].map((logit) => Math.exp((logit - highest) / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** The tokens that may come, by sorting and summing as the papers describe it. */
function allowed(logits: Float32Array, { temperature, topK, topP, minP }: Sampling): Set<number> {
  const probabilities = softmax(logits, temperature);
  let order = probabilities.map((_, token) => token);
  order.sort((a, b) => probabilities[b]! - probabilities[a]! || a - b);
  if (topK > 0) order = order.slice(0, topK);
  if (topP < 1) {
    const total = order.reduce((sum, token) => sum + probabilities[token]!, 0);
    let sum = 0;
    const nucleus: number[] = [];
    for (const token of order) {
      if (sum >= topP * total && nucleus.length > 0) break;
      nucleus.push(token);
      sum += probabilities[token]!;
    }
    order = nucleus;
  }
  const highest = Math.max(...probabilities);
  return new Set(order.filter((token) => probabilities[token]! >= minP * highest));
}

function counts(logits: Float32Array, sampling: Sampling, times = draws): number[] {
  const sampler = new Sampler({ sampling }, new VocabularyWeights(logits.length));
  const seen = new Array<number>(logits.length).fill(0);
  for (let i = 0; i < times; i++) seen[sampler.next(logits)]!++;
  return seen;
}

function randomLogits(size: number, seed: number, spread = 4): Float32Array {
  const random = seeded(seed);
  return Float32Array.from({ length: size }, () => (random() + random() + random() - 1.5) * spread);
}

describe('greedy sampling', () => {
  it.each([1e-310, Number.MIN_VALUE, 9e-6])('is what a temperature of %d means', (temperature) => {
    const sampler = new Sampler({ sampling: { ...everything, temperature } }, new VocabularyWeights(4));
    for (let i = 0; i < 20; i++) expect(sampler.next(Float32Array.of(1, 3, 8, 8 - 1e-6))).toBe(2);
  });

  it('takes the largest logit, the first of equals', () => {
    const sampler = new Sampler({ sampling: { ...everything, temperature: 0 } }, new VocabularyWeights(4));
    expect(sampler.next(Float32Array.of(-1, 3, 2, 3))).toBe(1);
    expect(sampler.next(Float32Array.of(-5, -4, -4, -6))).toBe(1);
    expect(sampler.next(new Float32Array(4))).toBe(0);
  });

  it('finds the largest wherever it lies, whatever else is no number', () => {
    for (const length of [1, 2, 3, 4, 5, 7, 8, 301]) {
      for (let at = 0; at < length; at++) {
        const values = randomLogits(length, at);
        values[at] = 100;
        expect(argmax(values)).toBe(at);
        values.fill(Number.NaN);
        expect(argmax(values)).toBe(0);
        values[at] = -3;
        expect(argmax(values)).toBe(at);
      }
    }
  });

  it.each([
    ['top-k of 1', { topK: 1 }],
    ['top-p of 0', { topP: 0 }],
    ['min-p of 1', { minP: 1 }],
    ['a tiny temperature', { temperature: 1e-6 }],
  ])('is what %s amounts to', (_what, changed) => {
    for (let seed = 0; seed < 20; seed++) {
      const logits = randomLogits(500, seed);
      const sampler = new Sampler(
        { sampling: { ...everything, ...changed, seed } },
        new VocabularyWeights(logits.length),
      );
      expect(sampler.next(logits)).toBe(argmax(logits));
    }
  });
});

describe('sampling', () => {
  it.each([0.3, 1, 1.7])('follows the softmax at temperature %d', (temperature) => {
    const logits = randomLogits(60, 5);
    const seen = counts(logits, { ...everything, temperature, seed: 11 });
    expect(chiSquareOf(seen, softmax(logits, temperature))).toBeLessThan(chiSquareLimit(59));
  });

  it('follows the softmax across a large vocabulary, most of which has no chance', () => {
    const likely = [3, 255, 256, 511, 1030, 1291, 1299]; // and none from 512 to 1023
    const logits = new Float32Array(1300).fill(-1000);
    for (const [i, token] of likely.entries()) logits[token] = i / 3;
    const seen = counts(logits, { ...everything, seed: 13 });
    expect(seen.flatMap((count, token) => (count > 0 ? [token] : []))).toEqual(likely);
    const ofLikely = (values: number[]) => likely.map((token) => values[token]!);
    const distance = chiSquareOf(ofLikely(seen), ofLikely(softmax(logits, 1)));
    expect(distance).toBeLessThan(chiSquareLimit(likely.length - 1));
  });

  it.each([{ topK: 7 }, { topP: 0.8 }, { minP: 0.1 }, { topK: 12, topP: 0.7, minP: 0.05 }])(
    'follows the softmax of what %j leaves',
    (filters) => {
      const logits = randomLogits(60, 6);
      const sampling = { ...everything, ...filters, temperature: 1.2, seed: 12 };
      const left = allowed(logits, sampling);
      const probabilities = softmax(logits, 1.2).map((p, token) => (left.has(token) ? p : 0));
      const total = probabilities.reduce((sum, p) => sum + p, 0);
      const seen = counts(logits, sampling);
      expect(seen.filter((count, token) => count > 0 && !left.has(token))).toEqual([]);
      const wanted = probabilities.map((p) => p / total);
      expect(chiSquareOf(seen, wanted)).toBeLessThan(chiSquareLimit(left.size - 1));
    },
  );

  it('does not depend on the level of the logits', () => {
    // Multiples of 1/8: the shift loses nothing in float32.
    const logits = randomLogits(50, 7).map((logit) => Math.round(logit * 8) / 8);
    const shifted = logits.map((logit) => logit + 4096);
    const sampling = { ...everything, seed: 3 };
    expect(counts(shifted, sampling, 500)).toEqual(counts(logits, sampling, 500));
  });

  it('leaves the logits as they are where nothing asks for a change', () => {
    const logits = randomLogits(50, 8);
    const before = logits.slice();
    counts(logits, { ...everything, topK: 5, topP: 0.5, minP: 0.1 }, 10);
    expect(logits).toEqual(before);
  });
});

describe('the filters', () => {
  /** Enough draws at so high a temperature that every token that may come does. */
  const drawn = (logits: Float32Array, sampling: Sampling) => {
    const seen = counts(logits, sampling, 3_000);
    return new Set(seen.flatMap((count, token) => (count > 0 ? [token] : [])));
  };
  const pick = <T>(random: () => number, from: T[]) => from[Math.floor(random() * from.length)]!;

  it.each(Array.from({ length: 60 }, (_, seed) => seed))(
    'leave what sorting and summing leave (seed %i)',
    (seed) => {
      const random = seeded(seed + 1000);
      const size = pick(random, [1, 2, 5, 40]);
      const logits = randomLogits(size, seed, pick(random, [0.1, 1]));
      if (random() < 0.3) for (let i = 0; i < size; i++) logits[i] = Math.round(logits[i]! * 4) / 4; // ties
      if (random() < 0.2) logits[Math.floor(random() * size)] = -Infinity;
      const sampling: Sampling = {
        temperature: pick(random, [0.7, 1, 2]),
        topK: pick(random, [0, 0, 1, 3, size, size + 10]),
        topP: pick(random, [1, 1, 0.999, 0.9, 0.5, 0.01]),
        minP: pick(random, [0, 0, 0.1, 0.6]),
        seed,
      };
      if (logits.every((logit) => logit === -Infinity)) logits[0] = 0;
      const wanted = allowed(logits, sampling);
      for (const token of wanted) if (logits[token] === -Infinity) wanted.delete(token); // may, but never do
      expect([...drawn(logits, sampling)].sort()).toEqual([...wanted].sort());
    },
  );

  it('take k of many equals, the first ones', () => {
    expect(drawn(new Float32Array(100), { ...everything, topK: 4, seed: 1 })).toEqual(new Set([0, 1, 2, 3]));
  });

  it('find the k largest wherever they lie', () => {
    for (const order of [1, -1]) {
      const logits = Float32Array.from({ length: 1000 }, (_, i) => order * i * 1e-4);
      const wanted = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!).slice(0, 20);
      expect(drawn(logits, { ...everything, topK: 20, seed: 2 })).toEqual(new Set(wanted));
    }
  });
});

describe('seeds', () => {
  const logits = randomLogits(1000, 9, 1);
  const tokens = (seed?: number) => {
    const sampling = { ...everything, ...(seed !== undefined && { seed }) };
    const sampler = new Sampler({ sampling }, new VocabularyWeights(logits.length));
    return Array.from({ length: 20 }, () => sampler.next(logits));
  };

  it('repeat the tokens', () => {
    expect(tokens(7)).toEqual(tokens(7));
  });

  it('that differ give others, and so does none', () => {
    expect(tokens(7)).not.toEqual(tokens(8));
    expect(tokens()).not.toEqual(tokens());
  });
});

describe('logits that are no numbers', () => {
  const samplings: [string, Sampling][] = [
    ['greedy', { ...everything, temperature: 0 }],
    ['sampled', { ...everything, seed: 1 }],
    ['top-k and top-p', { ...everything, topK: 2, topP: 0.9, seed: 1 }],
    ['top-k', { ...everything, topK: 3, seed: 1 }],
    ['top-p', { ...everything, topP: 0.9, seed: 1 }],
    ['min-p', { ...everything, minP: 0.1, seed: 1 }],
  ];

  it.each(samplings)('are never picked beside numbers (%s)', (_how, sampling) => {
    const sampler = new Sampler({ sampling }, new VocabularyWeights(4));
    for (const logits of [
      Float32Array.of(Number.NaN, 1, -Infinity, Number.NaN),
      Float32Array.of(-Infinity, 1, Number.NaN, Number.NaN),
    ]) {
      for (let i = 0; i < 20; i++) expect(sampler.next(logits)).toBe(1);
    }
  });

  it.each(samplings)('are an error where there is nothing else (%s)', (_how, sampling) => {
    const sampler = new Sampler({ sampling }, new VocabularyWeights(3));
    for (const value of [Number.NaN, -Infinity, Infinity]) {
      expect(() => sampler.next(new Float32Array(3).fill(value))).toThrow('no numbers');
    }
  });
});
