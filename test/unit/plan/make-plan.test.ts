import { describe, expect, it } from 'vitest';
import { InvalidDataError, UsageError } from '../../../artifact/errors.ts';
import { parseAdapter } from '../../../compressor/adapter/adapter.ts';
import { makePlan, type PlanOptions } from '../../../compressor/plan/make-plan.ts';
import { groupsOf } from '../../../compressor/plan/plan.ts';

const scores = [9, 3, 5, 1, 4, 2, 8, 7];
const checkpoint = { name: 'eight', layers: 8 };
const options: PlanOptions = { remove: 0, share: 1, weights: 'first', quantize: 'int4', keep: [0, -1] };

const plan = (changed: Partial<PlanOptions> = {}, ranking = { method: 'loss', scores }) =>
  makePlan(checkpoint, ranking, { ...options, ...changed });
const kept = (changed: Partial<PlanOptions>, ranking?: { method: string; scores: number[] }) =>
  plan(changed, ranking).layers.map((layer) => layer.source);

describe('makePlan', () => {
  it('without removal or sharing gives every layer its own block', () => {
    expect(plan()).toEqual({
      version: 1,
      checkpoint: 'eight',
      checkpointLayers: 8,
      method: 'loss',
      layers: [0, 1, 2, 3, 4, 5, 6, 7].map((layer) => ({ source: layer, block: layer })),
      weights: 'first',
      quantize: 'int4',
      scores,
    });
  });

  it('needs no ranking where nothing is removed', () => {
    expect(makePlan(checkpoint, { method: 'none' }, options)).not.toHaveProperty('scores');
  });

  it('removes the least important layers and keeps the depth order', () => {
    expect(kept({ remove: 1 / 8 })).toEqual([0, 1, 2, 4, 5, 6, 7]);
    expect(kept({ remove: 0.25 })).toEqual([0, 1, 2, 4, 6, 7]);
    expect(kept({ remove: 0.5 })).toEqual([0, 2, 6, 7]);
  });

  it.each([
    [0.06, 8], // 0.48 of a layer
    [0.07, 7], // 0.56
    [0.3, 6], // 2.4
    [0.32, 5], // 2.56
  ])('rounds a share of %d to whole layers: %i stay', (remove, left) => {
    expect(kept({ remove })).toHaveLength(left);
  });

  it('breaks ties by depth, whatever the sort does', () => {
    const ranking = { method: 'loss', scores: new Array(8).fill(1) };
    expect(kept({ remove: 0.25 }, ranking)).toEqual([0, 3, 4, 5, 6, 7]);
  });

  it('removes layers of negative score first', () => {
    const ranking = { method: 'loss', scores: [1, 0.5, -0.2, 0, 0.1, -0.3, 1, 1] };
    expect(kept({ remove: 0.25 }, ranking)).toEqual([0, 1, 3, 4, 6, 7]);
  });

  it('keeps what must be kept, counted from either end', () => {
    expect(kept({ remove: 0.25, keep: [3, -3] })).toEqual([0, 2, 3, 5, 6, 7]); // 1 and 4 go, not 3 and 5
    expect(kept({ remove: 1 / 8, keep: [] }, { method: 'loss', scores: [0, 1, 1, 1, 1, 1, 1, 1] })).toEqual([
      1, 2, 3, 4, 5, 6, 7,
    ]);
  });

  it.each([
    [1, [[0], [1], [2], [3], [4], [5], [6], [7]]],
    [
      2,
      [
        [0, 1],
        [2, 3],
        [4, 5],
        [6, 7],
      ],
    ],
    [
      3,
      [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7],
      ],
    ],
    [8, [[0, 1, 2, 3, 4, 5, 6, 7]]],
    [1.5, [[0, 1], [2], [3, 4], [5], [6, 7]]],
  ])('groups kept neighbours by %d, the last group taking the rest', (share, groups) => {
    expect(groupsOf(plan({ share }))).toEqual(groups);
  });

  it('groups what is kept, not what was', () => {
    expect(groupsOf(plan({ remove: 0.25, share: 4 }))).toEqual([
      [0, 1, 2, 4],
      [6, 7],
    ]);
  });

  it('lets removed layers come back behind gains, or run the block before them in full', () => {
    const back = plan({ remove: 0.25, refill: 'previous', adapter: { gains: false, rank: 2 } });
    expect(back.layers.slice(2, 6)).toEqual([
      { source: 2, block: 2 },
      { source: 3, block: 2, refill: true },
      { source: 4, block: 3 },
      { source: 5, block: 3, refill: true },
    ]);
    expect(back.adapter).toEqual({ gains: true, rank: 2 });
    const pooled = plan({ remove: 0.25, refill: 'previous', adapter: parseAdapter('mos:2') });
    expect(pooled.adapter).toEqual({ ...parseAdapter('mos:2'), gains: true });
    expect(plan({ remove: 0.25, refill: 'nearest' }).layers).toEqual(back.layers);
    const tied = plan({ remove: 0.25, refill: 'tied' });
    expect(tied.layers).toEqual(back.layers.map(({ source, block }) => ({ source, block })));
    expect(tied.adapter).toBeUndefined();
    const first = plan({ remove: 0.9, keep: [7], refill: 'previous' }).layers;
    expect(first.map(({ block }) => block)).toEqual(Array(8).fill(0));
    expect(first.filter(({ refill }) => !refill)).toEqual([{ source: 7, block: 0 }]);
  });

  it.each([
    [{ remove: 1 }, '--remove takes a share from 0 to below 1, not 1.'],
    [{ remove: -0.1 }, 'not -0.1'],
    [{ remove: Number.NaN }, 'not NaN'],
    [{ share: 0 }, '--share takes a number from 1 to 8 (the layers of eight), not 0.'],
    [{ share: 0.5 }, 'not 0.5'],
    [{ share: Number.NaN }, 'not NaN'],
    [{ share: 9 }, 'not 9'],
    [{ remove: 0.9 }, 'only 6 may go: 0, 7 are kept'],
    [{ remove: 0.99, keep: [] }, 'nothing would be left'],
    [{ remove: 0.25, keep: [8] }, '--keep names layer 8'],
    [{ remove: 0.25, keep: [-9] }, '--keep names layer -9'],
  ])('refuses %j', (changed, message) => {
    expect(() => plan(changed)).toThrow(UsageError);
    expect(() => plan(changed)).toThrow(message);
  });

  it('refuses to train a layer by itself whose block others run', () => {
    const trained = { remove: 0.25, patch: 'block' as const, keep: [] };
    expect(plan(trained)).toMatchObject({ patch: 'block' });
    for (const changed of [{ share: 2 }, { refill: 'previous' as const }])
      expect(() => plan({ ...trained, ...changed })).toThrow(/Leave out --share and --refill/);
  });

  it('refuses scores that are no numbers, as a damaged checkpoint gives', () => {
    const ranking = { method: 'loss', scores: [1, 2, 3, 4, Number.NaN, 6, 7, 8] };
    expect(() => plan({ remove: 0.25 }, ranking)).toThrow(InvalidDataError);
    expect(() => plan({ remove: 0.25 }, ranking)).toThrow('Layer 4 of eight has the score NaN');
  });

  it('refuses to remove layers nobody ranked', () => {
    expect(() => makePlan(checkpoint, { method: 'none' }, { ...options, remove: 0.5 })).toThrow(UsageError);
  });
});
