import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { VocabularyWeights } from '../../../functions/engine/sampling/vocabulary-weights.ts';
import { seeded } from '../../fixtures/random-checkpoint.ts';

/** Less than a block of weights, whole blocks, and something over. */
const sizes = [1, 5, 255, 256, 257, 1300, 49_152];

function randomLogits(size: number, seed: number, spread = 24): Float32Array {
  const random = seeded(seed);
  return Float32Array.from({ length: size }, () => (random() + random() + random() - 1.5) * spread);
}

describe("a vocabulary's weights", () => {
  it.each(sizes)('are exponentials of the distance to the largest of %i logits', (size) => {
    using weights = new VocabularyWeights(size);
    for (const temperature of [0.01, 0.7, 1, 3]) {
      const logits = randomLogits(size, size);
      weights.weigh(logits, temperature);
      const highest = logits.reduce((most, logit) => Math.max(most, logit));
      expect(weights.highestLogit).toBe(highest);
      const wanted = Float64Array.from(logits, (logit) => Math.exp((logit - highest) / temperature));
      // In float32 a distance of 80 is known to 8 millionths; what lies farther has no chance.
      const wrong = [...wanted.keys()].filter((i) => {
        const error = Math.abs(weights.values[i]! - wanted[i]!);
        return error > 1e-5 * wanted[i]! && error > 1e-35;
      });
      expect(wrong).toEqual([]);
      expect(weights.values).toHaveLength(size);
      const total = wanted.reduce((sum, weight) => sum + weight, 0);
      expect(Math.abs(weights.total / total - 1)).toBeLessThan(1e-6);
    }
  });

  it.each(sizes)('find, of %i, those from a bound on, and the k largest', (size) => {
    using weights = new VocabularyWeights(size);
    for (const [round, temperature] of [0.5, 1, 2].entries()) {
      const logits = randomLogits(size, round, 6);
      if (round === 1) for (let i = 0; i < size; i++) logits[i] = Math.round(logits[i]!); // equals
      weights.weigh(logits, temperature);
      for (const least of [1, 0.5, 0.01, 1e-4, 1e-20, 0]) {
        const wanted = [...logits.keys()].filter((i) => weights.values[i]! >= least);
        expect(weights.tokensFrom(least)).toEqual(wanted);
      }
      const order = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
      for (const k of [1, 2, 40, 192, 1000, size])
        expect(weights.largest(Math.min(k, size))).toEqual(order.slice(0, k));
    }
  });

  it('lead to the token at each place of their sum', () => {
    using weights = new VocabularyWeights(1300);
    const logits = new Float32Array(1300).fill(-Infinity);
    for (const token of [3, 255, 256, 1299]) logits[token] = 7;
    weights.weigh(logits, 0.3);
    expect(weights.total).toBe(4);
    expect([0, 0.99, 1, 2, 3, 3.99, 4].map((at) => weights.tokenAt(at))).toEqual([
      3, 3, 255, 256, 1299, 1299, 1299,
    ]);
  });

  it('are none of what is no number', () => {
    using weights = new VocabularyWeights(600);
    const logits = randomLogits(600, 4).fill(Number.NaN, 100, 400);
    weights.weigh(logits, 1);
    expect(weights.values.subarray(100, 400)).toEqual(new Float32Array(300));
    expect(weights.highestLogit).toBe(Math.max(...logits.filter((logit) => !Number.isNaN(logit))));
    weights.weigh(randomLogits(600, 5), 1);
    expect(weights.values.every((weight) => weight > 0)).toBe(true);
  });
});

describe('the graph that weighs', () => {
  it('is the one that its script builds', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['scripts/weigh-graph.ts']);
    expect(stdout).toBe(await readFile('functions/engine/sampling/weigh-graph.ts', 'utf8'));
  });
});
