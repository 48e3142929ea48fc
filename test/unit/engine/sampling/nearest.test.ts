import { describe, expect, it } from 'vitest';
import { nearest } from '../../../../functions/engine/sampling/nearest.ts';
import { seeded } from '../../../fixtures/random-checkpoint.ts';

function distributionOf(logits: Float32Array) {
  const highestLogit = Math.max(...logits);
  const values = logits.map((logit) => Math.exp(logit - highestLogit));
  const total = values.reduce((sum, value) => sum + value, 0);
  return { logits, weights: { values, total, highestLogit }, temperature: 1 };
}

/** By sorting them all. */
function sorted(
  { logits, weights: { values } }: ReturnType<typeof distributionOf>,
  tokens: number[],
  logit: number,
  mass: number,
  equals: boolean,
): number[] {
  const far = (token: number) => Math.abs(logits[token]! - logit);
  const order = tokens.toSorted((a, b) => far(a) - far(b) || a - b);
  let sum = 0;
  let end = 0;
  while (end < order.length && (end === 0 || sum < mass)) sum += values[order[end++]!]!;
  const reach = far(order[end - 1]!);
  while (equals && end < order.length && far(order[end]!) === reach) end++;
  return order.slice(0, end);
}

const ascending = (tokens: number[]) => tokens.toSorted((a, b) => a - b);

describe('the nearest tokens', () => {
  it.each([0.001, 0.5, 3, 20])('are those that sorting gives (spread %d)', (spread) => {
    const random = seeded(31);
    for (let round = 0; round < 30; round++) {
      const size = [1, 2, 7, 300, 3000][round % 5]!;
      // Every other time rounded, so that many are equal.
      const step = round % 2 === 0 ? spread / 8 : 0;
      const logits = Float32Array.from({ length: size }, () => {
        const value = (random() + random() - 1) * spread;
        return step > 0 ? Math.round(value / step) * step : value;
      });
      const distribution = distributionOf(logits);
      const tokens = [...logits.keys()].filter(() => random() < 0.9);
      if (tokens.length === 0) tokens.push(0);
      const total = tokens.reduce((sum, token) => sum + distribution.weights.values[token]!, 0);
      const reference = random() < 0.5 ? distribution.weights.highestLogit : (random() - 0.5) * spread;
      for (const share of [0, 0.1, 0.9, 0.999, 1.1]) {
        for (const equals of [true, false]) {
          const found = nearest(distribution, tokens, reference, share * total, { equals });
          const wanted = sorted(distribution, tokens, reference, share * total, equals);
          expect(ascending(found)).toEqual(ascending(wanted));
        }
      }
    }
  });

  it('leave the tokens as they were', () => {
    const tokens = [2, 0, 1];
    nearest(distributionOf(Float32Array.of(1, 2, 3)), tokens, 3, 0.5);
    expect(tokens).toEqual([2, 0, 1]);
  });
});
