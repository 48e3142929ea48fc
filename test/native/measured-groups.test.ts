import { describe, expect, it } from 'vitest';
import { makePlan, type PlanOptions } from '../../compressor/plan/make-plan.ts';
import { checkPlan, type FoldPlan, groupsOf } from '../../compressor/plan/plan.ts';
import { measureReplacements } from '../../compressor/search/measure-replacements.ts';
import { withMeasuredGroups } from '../../compressor/search/measured-groups.ts';
import { foldgate } from '../fixtures/command-line.ts';
import { picoPath } from '../fixtures/pico.ts';
import { picoArchitecture, randomCheckpoint } from '../fixtures/random-checkpoint.ts';
import { textOf } from '../fixtures/texts.ts';

const depth = 7;
const checkpoint = randomCheckpoint({
  ...picoArchitecture,
  layers: Array.from({ length: depth }, () => ({ window: undefined, rotary: 0 })),
});
const planned = { name: 'random', layers: depth, intermediateSize: picoArchitecture.intermediateSize };
const text = textOf([Array.from({ length: 24 }, (_, i) => (i * 37 + 5) % 96)]);
const even: PlanOptions = {
  ...{ remove: 0, share: 2, groups: 'measured', weights: 'first', quantize: 'none', keep: [] },
};
const grouped = (options: Partial<PlanOptions> = {}, scores = new Array<number>(depth).fill(1)) =>
  withMeasuredGroups(
    checkpoint,
    makePlan({ name: 'random', layers: depth }, { method: 'given', scores }, { ...even, ...options }),
    text,
  );

/** All ways to cut a list into so many groups of neighbours. */
function partitions(layers: number[], count: number): number[][][] {
  if (count === 1) return [[layers]];
  return Array.from({ length: layers.length - count + 1 }, (_, i) => i + 1).flatMap((size) =>
    partitions(layers.slice(size), count - 1).map((rest) => [layers.slice(0, size), ...rest]),
  );
}

const errors = await measureReplacements(checkpoint, text, {
  ...{ removable: new Set([...Array(depth).keys()]), longest: 0, patched: false, reach: depth, ranks: [0] },
  ...{ fitted: 0, held: 0, cost: 'error' },
});
/** What the layers of a group come to that run the block of its first. */
const costOf = (groups: number[][]) =>
  groups
    .flatMap(([owner, ...others]) =>
      others.map(
        (layer) => errors.find((one) => one.from === layer && 'owner' in one && one.owner === owner)!.cost,
      ),
    )
    .reduce((sum, cost) => sum + cost, 0);
const cheapest = (all: number[][][]) =>
  all.reduce((best, groups) => (costOf(groups) < costOf(best) ? groups : best));

describe('groups that are measured', () => {
  it('are, of all there are under as many blocks, those of the least errors', async () => {
    const layers = [...Array(depth).keys()];
    for (const share of [2, 3]) {
      const plan = await grouped({ share });
      const blocks = Math.ceil(depth / share);
      expect(groupsOf(plan)).toEqual(cheapest(partitions(layers, blocks)));
      expect(plan.layers.map(({ source }) => source)).toEqual(layers);
      checkPlan(plan, planned, 'plan');
    }
  });

  it('leave vital layers their blocks, by the scores, as far as they can', async () => {
    const layers = [...Array(depth).keys()];
    const vital = (...which: number[]) => layers.map((layer) => (which.includes(layer) ? 50 + layer : 1));
    const ownBlock =
      (...which: number[]) =>
      (groups: number[][]) =>
        which.every((layer) => groups.some(([first]) => first === layer));
    for (const layer of [1, 2, 3, 4, 5, 6]) {
      const plan = await grouped({ share: 3 }, vital(layer));
      expect(groupsOf(plan)).toEqual(cheapest(partitions(layers, 3).filter(ownBlock(layer))));
    }
    // The first layer has its own in any case; of two others, one block has room for that which matters most.
    const two = await grouped({ share: 4 }, vital(2, 6));
    expect(groupsOf(two)).toEqual([[0, 1, 2, 3, 4, 5], [6]]);
  });

  it('jump over removed layers, and keep those that come back with the block before them', async () => {
    const scores = [5, 1, 5, 5, 1, 5, 5];
    const gone = await grouped({ remove: 2 / 7 }, scores);
    const kept = [0, 2, 3, 5, 6];
    expect(groupsOf(gone)).toEqual(cheapest(partitions(kept, 3)));
    const back = await grouped({ remove: 2 / 7, refill: 'previous' }, scores);
    expect(groupsOf({ layers: back.layers.filter(({ refill }) => !refill) })).toEqual(groupsOf(gone));
    for (const layer of [1, 4]) {
      const [before, own] = [layer - 1, layer].map((at) => back.layers.find(({ source }) => source === at)!);
      expect(own).toMatchObject({ refill: true, block: before!.block });
    }
    checkPlan(back, planned, 'plan');
  });

  it('need the weights of the first, and no other choice of who shares', () => {
    for (const changed of [
      { weights: 'mean' as const },
      { refill: 'tied' as const },
      { patch: 'block' as const },
    ])
      expect(() => makePlan({ name: 'x', layers: 7 }, { method: 'x' }, { ...even, ...changed })).toThrow(
        /--groups measured/,
      );
  });

  it('are printed by plan, whose scores say what is vital', async () => {
    const args = ['--share', '2', '--groups', 'measured', '--rank', 'influence', '--json'];
    const { code, stdout, stderr } = await foldgate('plan', picoPath('llama'), ...args);
    expect(code, stderr).toBe(0);
    const plan: FoldPlan = JSON.parse(stdout);
    expect(groupsOf(plan)).toHaveLength(2);
    expect(plan.scores).toHaveLength(3);
    expect(stderr).toContain('Measuring what sharing harms');
  });
});
