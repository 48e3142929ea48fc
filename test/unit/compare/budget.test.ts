import { describe, expect, it } from 'vitest';
import { distinctBlockParameters, nearestPlan, savedShare } from '../../../compressor/compare/budget.ts';
import { blockParameters } from '../../../compressor/weights/block.ts';
import { picoArchitecture } from '../../fixtures/random-checkpoint.ts';

const layers = picoArchitecture.layers.length;
const block = blockParameters(picoArchitecture);
const patch = picoArchitecture.width ** 2 + picoArchitecture.width;
const keep = (sources: number[]) => sources.map((source, i) => ({ source, block: i }));

describe('what a plan saves', () => {
  it('counts every distinct block once, and each patch', () => {
    const shared = { layers: [0, 1, 2, 3].map((source) => ({ source, block: source >> 1 })) };
    expect(distinctBlockParameters(picoArchitecture, shared)).toBe(2 * block);
    const cut = { layers: keep([0, 2]), patch: 'linear' as const };
    expect(distinctBlockParameters(picoArchitecture, cut)).toBe(2 * block + 2 * patch);
    expect(savedShare(picoArchitecture, cut)).toBeCloseTo(1 - (2 * block + 2 * patch) / (layers * block), 12);
  });

  it('is what the checkpoint stores: padded heads are not counted', () => {
    const padded = { ...picoArchitecture, storedHeadSize: picoArchitecture.headSize / 2 };
    expect(distinctBlockParameters(padded, { layers: keep([0, 1]) })).toBeLessThan(2 * block);
    expect(savedShare(padded, { layers: keep([0, 1]) })).toBeCloseTo(0.5, 12);
  });
});

describe('the plan nearest to a budget', () => {
  const deep = { ...picoArchitecture, layers: Array.from({ length: 12 }, () => picoArchitecture.layers[0]!) };
  const planWith = (patched: boolean, scattered: boolean) => async (removed: number) => {
    const gone = Array.from({ length: removed }, (_, i) => (scattered ? 1 + 2 * i : 1 + i));
    const sources = deep.layers.map((_, layer) => layer).filter((layer) => !gone.includes(layer));
    return { layers: keep(sources), ...(patched && { patch: 'linear' as const }), removed };
  };

  it('takes whole layers', async () => {
    for (const [budget, removed] of [
      [0.25, 3],
      [0.2, 2],
      [0.3, 4],
      [0.04, undefined],
    ] as const) {
      const found = nearestPlan(deep, budget, 10, planWith(false, false));
      if (removed === undefined) await expect(found).rejects.toThrow('less than half of one of 12 layers');
      else expect((await found).removed).toBe(removed);
    }
  });

  it('takes one more where patches take up most of one', async () => {
    // A patch is a fifth of a block: five scattered layers save no more than four.
    const narrow = { ...deep, intermediateSize: 40 };
    expect(patch / blockParameters(narrow)).toBeCloseTo(0.21, 2);
    expect((await nearestPlan(narrow, 0.4, 10, planWith(true, true))).removed).toBe(6);
    expect((await nearestPlan(narrow, 0.4, 10, planWith(true, false))).removed).toBe(5);
    expect((await nearestPlan(narrow, 0.4, 10, planWith(false, true))).removed).toBe(5);
    expect((await nearestPlan(narrow, 0.4, 5, planWith(true, true))).removed).toBe(5);
  });

  it('refuses what may not go', async () => {
    await expect(nearestPlan(deep, 0.9, 10, planWith(false, false))).rejects.toThrow('only 10 may go');
    await expect(nearestPlan(deep, 1, 10, planWith(false, false))).rejects.toThrow('between 0 and 1');
  });
});
