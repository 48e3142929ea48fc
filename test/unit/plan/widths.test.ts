import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../artifact/errors.ts';
import type { Checkpoint } from '../../../compressor/checkpoint/checkpoint.ts';
import { savedShare } from '../../../compressor/compare/budget.ts';
import { methodPlan } from '../../../compressor/compare/method-plan.ts';
import { modegpt } from '../../../compressor/methods/modegpt.ts';
import { fitSize } from '../../../compressor/plan/fit-size.ts';
import type { PlanOptions } from '../../../compressor/plan/make-plan.ts';
import type { FoldPlan } from '../../../compressor/plan/plan.ts';
import { storedBytes } from '../../../compressor/plan/served-bytes.ts';
import {
  allocateSparsity,
  granuleOf,
  largestSaving,
  leastWidth,
  makeSizedPlan,
  widthsOf,
} from '../../../compressor/plan/widths.ts';
import { bitsBudget, parsePrecision, resolvePrecision } from '../../../compressor/quantize/precision.ts';
import { picoArchitecture, randomCheckpoint, seeded } from '../../fixtures/random-checkpoint.ts';
import { textOf } from '../../fixtures/texts.ts';

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

describe('how much goes of each block', () => {
  const importance = [0.5, 0.1, 0.12, 0.3];

  it('is what the closed form says: a softmax of -importance / spread', () => {
    const found = allocateSparsity(importance, 0.2, 0.1, 1);
    const weights = importance.map((score) => Math.exp(-score / 0.1));
    for (const [block, part] of found.entries())
      expect(part).toBeCloseTo((0.2 * 4 * weights[block]!) / sum(weights), 12);
  });

  it('is the maximum of importance that stays and entropy: no other way to remove as much has more', () => {
    const spread = 0.1;
    const value = (parts: number[]) =>
      sum(parts.map((part, i) => importance[i]! * (1 - part) - spread * part * Math.log(part)));
    const found = allocateSparsity(importance, 0.2, spread, 0.5);
    expect(Math.max(...found)).toBeLessThan(0.5);
    const random = seeded(3);
    for (let trial = 0; trial < 200; trial++) {
      const [from, to] = [Math.floor(random() * 4), Math.floor(random() * 4)];
      const moved = random() * 0.3 * found[from]!;
      const other = found.with(from, found[from]! - moved);
      other[to]! += moved;
      expect(value(other)).toBeLessThanOrEqual(value(found) + 1e-12);
    }
  });

  it('is alike where the spread is wide, and all of one block where it is narrow', () => {
    for (const part of allocateSparsity(importance, 0.2, 1e6, 1)) expect(part).toBeCloseTo(0.2, 5);
    expect(allocateSparsity(importance, 0.2, 1e-6, 1)).toEqual([0, expect.closeTo(0.8, 9), 0, 0]);
  });

  it('is no more than a block may give: the others give the rest', () => {
    for (const most of [0.2, 0.25, 0.4, 0.8]) {
      for (const spread of [1e-5, 0.05, 10]) {
        const found = allocateSparsity(importance, 0.2, spread, most);
        expect(sum(found)).toBeCloseTo(0.8, 9);
        expect(Math.max(...found)).toBeLessThanOrEqual(most + 1e-12);
      }
    }
  });
});

describe('widths', () => {
  it.each([
    [1536, 128, 256],
    [8960, 128, 1152],
    [448, 64, 64],
    [512, 64, 64],
    [96, 32, 32],
    [100, 32, 32],
    [20, 32, 20],
  ])('of %i are multiples of %i, from %i on', (whole, granule, least) => {
    expect(granuleOf(whole)).toBe(granule);
    expect(leastWidth(whole)).toBe(least);
  });

  it('add up to the share, however importance spreads them', () => {
    const random = seeded(9);
    for (const whole of [1536, 448, 4864]) {
      for (const share of [0.95, 0.8, 0.5, 0.3]) {
        for (const spread of [1e-3, 0.1, 10]) {
          const importance = Array.from({ length: 13 }, random);
          const widths = widthsOf(whole, importance, share, spread);
          const granule = granuleOf(whole);
          expect(Math.abs(sum(widths) - share * whole * 13)).toBeLessThanOrEqual(granule / 2);
          for (const width of widths) {
            expect(width % granule).toBe(0);
            expect(width).toBeGreaterThanOrEqual(leastWidth(whole));
            expect(width).toBeLessThanOrEqual(whole);
          }
          // What matters more keeps as much or more, to the granule that rounding may move.
          const order = importance.map((_, i) => i).sort((a, b) => importance[a]! - importance[b]!);
          for (const [place, block] of order.slice(1).entries())
            expect(widths[block]!).toBeGreaterThanOrEqual(widths[order[place]!]! - granule);
        }
      }
    }
  });

  it('of blocks that are no multiple of the granule are multiples, or whole', () => {
    const widths = widthsOf(100, [3, 2, 1], 0.6, 0.5);
    for (const width of widths) expect([32, 64, 96, 100]).toContain(width);
  });
});

const architecture = { ...picoArchitecture, width: 256, intermediateSize: 1024, vocabularySize: 600 };
const checkpoint = randomCheckpoint(architecture);
const options: PlanOptions = {
  remove: 0,
  share: 1,
  weights: 'first',
  quantize: 'int4',
  keep: [0, -1],
  shrink: 'width',
};
const scores = [0.9, 0.2, 0.1, 0.4];

/** As `checkpoint`, of so many layers. */
function checkpointOf(count: number): Checkpoint {
  const layers = Array.from({ length: count }, () => architecture.layers[0]!);
  return randomCheckpoint({ ...architecture, layers });
}

/** What a plan stores in int4, but for the tokenizer. */
function bytesIn(checkpoint: Checkpoint, plan: FoldPlan): number {
  const precision = resolvePrecision(checkpoint, plan, parsePrecision('int4'));
  const { architecture } = checkpoint;
  return storedBytes({ architecture, plan, precision, budget: bitsBudget('int4'), tokenizer: 0 });
}

describe('a plan of narrower MLPs', () => {
  it('keeps all layers and saves what it is asked to', () => {
    for (const remove of [0.1, 0.3, 0.5]) {
      const plan = makeSizedPlan(checkpoint, { method: 'x', scores }, { ...options, remove });
      expect(plan.layers).toHaveLength(4);
      // A granule of one of four blocks is a 32nd of the widths.
      expect(Math.abs(savedShare(architecture, plan) - remove)).toBeLessThan(1 / 64);
    }
  });

  it('is whole where nothing goes', () => {
    expect(makeSizedPlan(checkpoint, { method: 'x' }, options)).not.toHaveProperty('widths');
  });

  it('goes together with removed and shared layers', () => {
    const asked = { ...options, shrink: 'depth' as const, remove: 0.25, share: 2, width: 0.5 };
    const plan = makeSizedPlan(checkpoint, { method: 'x', scores }, asked);
    expect(plan.layers.map(({ block }) => block)).toEqual([0, 0, 1]);
    expect(plan.widths).toHaveLength(2);
    expect(sum(plan.widths!)).toBe(1024);
  });

  it('takes a third of what goes in layers, under both', () => {
    const deep = checkpointOf(12);
    const { layers } = deep.architecture;
    const ranking = {
      method: 'x',
      scores: layers.map((_, layer) => layer),
      importance: [9, ...Array(11).fill(0)],
    };
    const planOf = (remove: number) =>
      makeSizedPlan(deep, ranking, { ...options, shrink: 'both', patch: 'linear', remove });
    for (const [remove, gone] of [
      [0.02, []],
      [0.1, []],
      [0.2, [1]],
      [0.4, [1, 2]],
      [0.5, [1, 2]],
    ] as const) {
      const plan = planOf(remove);
      const kept = new Set(plan.layers.map(({ source }) => source));
      expect([...layers.keys()].filter((layer) => !kept.has(layer))).toEqual(gone);
      // Layers go by the scores, widths by the importance. A patch of the cut is no part of what is asked for.
      expect(plan.widths![0]).toBe(1024);
      expect(Math.abs(savedShare(deep.architecture, { ...plan, patch: 'none' }) - remove)).toBeLessThan(
        1 / 64,
      );
    }
    expect(planOf(0)).not.toHaveProperty('widths');
    for (const remove of [0.95, -0.1, Number.NaN]) expect(() => planOf(remove)).toThrow(UsageError);
    expect(() => planOf(0.95)).toThrow('0.95 is no share that they can give');
    const wide = { ...options, shrink: 'both' as const, width: 0.5 };
    expect(() => makeSizedPlan(deep, ranking, wide)).toThrow('--shrink both finds the width');

    const sized = { ...options, shrink: 'both' as const };
    const bytesOf = (plan: FoldPlan) => bytesIn(deep, plan);
    const whole = bytesOf(makeSizedPlan(deep, ranking, sized));
    const { remove } = fitSize(deep, { stored: 0.8 * whole }, 0, sized, true);
    expect(bytesOf(makeSizedPlan(deep, ranking, { ...sized, remove }))).toBeLessThanOrEqual(0.8 * whole);
    expect(() => fitSize(deep, { stored: 0.01 * whole }, 0, sized, true)).toThrow(
      /layers removed, the rest of \d/,
    );
  });

  it('refuses what MLPs cannot give', () => {
    const most = largestSaving(architecture);
    expect(() => makeSizedPlan(checkpoint, { method: 'x' }, { ...options, remove: most })).not.toThrow();
    expect(() => makeSizedPlan(checkpoint, { method: 'x' }, { ...options, remove: most + 0.01 })).toThrow(
      UsageError,
    );
    expect(() => makeSizedPlan(checkpoint, { method: 'x' }, { ...options, width: 0.5 })).toThrow(
      'leave out --width',
    );
    const low = { ...options, shrink: 'depth' as const, width: 0.01 };
    expect(() => makeSizedPlan(checkpoint, { method: 'x' }, low)).toThrow('0.125 to 1, not 0.01');
    const flat = { ...options, remove: 0.2, spread: 0 };
    expect(() => makeSizedPlan(checkpoint, { method: 'x' }, flat)).toThrow(
      '--spread takes a number above 0, not 0',
    );
    const adapted = { ...options, remove: 0.2, adapter: { gains: false, rank: 4 } };
    expect(() => makeSizedPlan(checkpoint, { method: 'x' }, adapted)).toThrow('--adapter gain');
  });

  it('meets the budget of a comparison', async () => {
    const text = textOf([Array.from({ length: 40 }, (_, i) => i)]);
    for (const budget of [0.1, 0.25, 0.4]) {
      const plan = await methodPlan(checkpoint, modegpt, budget, 'int4', text, {});
      expect(Math.abs(savedShare(architecture, plan) - budget)).toBeLessThan(1 / 64);
      expect(plan.method).toBe('influence');
    }
    await expect(methodPlan(checkpoint, modegpt, 0.9, 'int4', text, {})).rejects.toThrow(
      'more than the MLPs of random can give',
    );
  });

  it('meets it with fewer layers as well, patches counted', async () => {
    const deep = checkpointOf(6);
    const text = textOf([Array.from({ length: 40 }, (_, i) => i)]);
    const method = { ...modegpt, rank: 'late-middle', patch: 'linear', shrink: 'both' } as const;
    const plan = await methodPlan(deep, method, 0.4, 'int4', text, {});
    expect(plan.layers).toHaveLength(5);
    expect(Math.abs(savedShare(deep.architecture, plan) - 0.4)).toBeLessThan(1 / 64);
    await expect(methodPlan(deep, method, 0.95, 'int4', text, {})).rejects.toThrow(
      'is more than a third in layers',
    );
  });

  it('stays below a size, and close to it, whatever importance says', () => {
    const bytesOf = (plan: FoldPlan) => bytesIn(checkpoint, plan);
    const whole = bytesOf(makeSizedPlan(checkpoint, { method: 'x' }, options));
    for (const share of [0.9, 0.75]) {
      const { remove } = fitSize(checkpoint, { stored: share * whole }, 0, options, true);
      const plan = makeSizedPlan(checkpoint, { method: 'x', scores }, { ...options, remove });
      expect(bytesOf(plan)).toBeLessThanOrEqual(share * whole);
      expect(bytesOf(plan)).toBeGreaterThan(0.96 * share * whole);
    }
    expect(() => fitSize(checkpoint, { stored: 0.1 * whole }, 0, options, true)).toThrow('MLPs narrower by');
  });
});
