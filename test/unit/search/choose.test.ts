import { describe, expect, it } from 'vitest';
import { type Candidate, cheapestCombinations } from '../../../compressor/search/choose.ts';
import { seeded } from '../../fixtures/random-checkpoint.ts';

/** Runs of up to three, blocks shared with up to two layers before; whole sizes, so that many are equal. */
function randomCandidates(layers: number, seed: number): Candidate[] {
  const random = seeded(seed);
  const found: Candidate[] = [];
  for (let from = 0; from < layers; from++) {
    found.push({ from, to: from + 1, fate: 'kept', cost: 0, size: 10 });
    for (let to = from + 1; to <= Math.min(layers, from + 3); to++)
      found.push({ from, to, fate: 'removed', cost: random() * (to - from), size: from > 0 ? 2 : 0 });
    for (let owner = Math.max(0, from - 2); owner < from; owner++)
      found.push({ from, to: from + 1, fate: 'shared', owner, cost: random(), size: 3 });
  }
  return found;
}

/** All there are, from their description alone. */
function everyCombination(candidates: Candidate[], layers: number): Candidate[][] {
  const grow = (choices: Candidate[], place: number): Candidate[][] =>
    place === layers
      ? [choices]
      : candidates.filter(({ from }) => from === place).flatMap((next) => grow([...choices, next], next.to));
  return grow([], 0).filter((choices) => {
    const kept = choices.filter(({ fate }) => fate === 'kept').map(({ from }) => from);
    return (
      kept.length > 0 &&
      choices.every(({ fate, from, owner }, i) => {
        if (fate === 'removed') return choices[i + 1]?.fate !== 'removed';
        return fate === 'kept' || kept.findLast((layer) => layer < from) === owner;
      })
    );
  });
}

const sum = (choices: Candidate[], of: 'cost' | 'size') => choices.reduce((total, one) => total + one[of], 0);

describe('the cheapest combinations', () => {
  it.each([1, 2, 3, 4, 5])('are those of all there are, in any size (draw %i)', (seed) => {
    const layers = 7;
    const candidates = randomCandidates(layers, seed);
    const all = everyCombination(candidates, layers);
    expect(all.length).toBeGreaterThan(500);
    for (const limit of [9, 10, 14, 25, 33, 46, 60]) {
      const costs = all
        .filter((choices) => sum(choices, 'size') <= limit)
        .map((choices) => sum(choices, 'cost'))
        .sort((a, b) => a - b);
      for (const count of [1, 7]) {
        const found = cheapestCombinations(candidates, layers, limit, count);
        expect(found).toHaveLength(Math.min(count, costs.length));
        for (const [i, { choices, cost, size }] of found.entries()) {
          expect(cost).toBeCloseTo(costs[i]!, 12);
          expect(sum(choices, 'cost')).toBeCloseTo(cost, 12);
          expect(sum(choices, 'size')).toBe(size);
          expect(all.some((other) => other.every((one, k) => one === choices[k]))).toBe(true);
        }
        expect(
          new Set(found.map(({ choices }) => choices.map((one) => candidates.indexOf(one)).join())).size,
        ).toBe(found.length);
      }
    }
  });

  it('are none where nothing is small enough, and none of nothing', () => {
    expect(cheapestCombinations(randomCandidates(4, 1), 4, 9, 3)).toEqual([]);
    const gone: Candidate = { from: 0, to: 2, fate: 'removed', cost: 0, size: 0 };
    expect(cheapestCombinations([gone], 2, 100, 1)).toEqual([]);
  });

  it('of many layers are found at once', () => {
    const candidates = randomCandidates(80, 9);
    const [best] = cheapestCombinations(candidates, 80, 600, 8);
    expect(best!.size).toBeLessThanOrEqual(600);
  });
});
