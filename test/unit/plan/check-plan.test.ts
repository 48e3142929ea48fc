import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InvalidDataError, UsageError } from '../../../artifact/errors.ts';
import { usualPool } from '../../../compressor/adapter/adapter.ts';
import { makePlan } from '../../../compressor/plan/make-plan.ts';
import { checkPlan, groupsOf, readPlan } from '../../../compressor/plan/plan.ts';

const checkpoint = { name: 'four', layers: 4, intermediateSize: 128 };
const good = {
  version: 1,
  checkpoint: 'four',
  checkpointLayers: 4,
  method: 'manual',
  layers: [
    { source: 0, block: 0 },
    { source: 1, block: 1 },
    { source: 3, block: 0 },
  ],
  weights: 'first',
  quantize: 'int4',
};
const layers = (...pairs: [source: number, block: number][]) => ({
  layers: pairs.map(([source, block]) => ({ source, block })),
});

describe('checkPlan', () => {
  it('takes a plan that a person wrote, distant layers sharing a block', () => {
    const plan = checkPlan(good, checkpoint, 'plan.json');
    expect(plan).toEqual(good);
    expect(groupsOf(plan)).toEqual([[0, 3], [1]]);
  });

  it('takes widths of blocks that codes are not padded for', () => {
    const narrow = { ...good, widths: [96, 128] };
    expect(checkPlan(narrow, checkpoint, 'x')).toEqual(narrow);
    const bad =
      (widths: number[], changed = {}) =>
      () =>
        checkPlan({ ...good, widths, ...changed }, checkpoint, 'x');
    expect(bad([96])).toThrow('widths has 1 entries for 2 blocks');
    expect(bad([96, 160])).toThrow('widths[1] is 160, and the MLPs of four are 128 wide');
    expect(bad([100, 128])).toThrow('widths[0] is 100: take a multiple of 32');
    expect(bad([0, 128])).toThrow(InvalidDataError);
    expect(bad([96, 128], { adapter: { gains: false, rank: 2 } })).toThrow('leave out "widths"');
    expect(bad([96, 128], { adapter: { gains: true, rank: 0 } })).not.toThrow();
    const odd = { ...checkpoint, intermediateSize: 100 };
    expect(() => checkPlan({ ...good, widths: [96, 100] }, odd, 'x')).not.toThrow();
  });

  it('takes a layer that runs twice', () => {
    expect(() => checkPlan({ ...good, ...layers([0, 0], [0, 0], [1, 1]) }, checkpoint, 'x')).not.toThrow();
  });

  it('takes a layer trained by itself where its block is its own', () => {
    const plan = { ...good, ...layers([0, 0], [1, 1], [3, 2]), patch: 'block' };
    expect(checkPlan(plan, checkpoint, 'x')).toEqual(plan);
  });

  it('takes layers that run one half, and a source whose halves run different blocks', () => {
    const halved = [
      { source: 0, block: 0 },
      { source: 1, block: 1, half: 'attention' },
      { source: 1, block: 2, half: 'mlp' },
      { source: 3, block: 3, half: 'mlp' },
    ];
    for (const patch of ['none', 'linear'])
      expect(checkPlan({ ...good, layers: halved, patch }, checkpoint, 'x').layers).toEqual(halved);
  });

  it('takes low-rank matrices from pools, and those of plans that know none', () => {
    for (const adapter of [
      { gains: true, rank: 4, pool: usualPool },
      { gains: false, rank: 4 },
      { gains: false, rank: 4, orchestra: { components: 4 } },
    ])
      expect(checkPlan({ ...good, adapter }, checkpoint, 'x')).toEqual({ ...good, adapter });
  });

  it.each([
    ['half of nothing', { layers: [{ source: 0, block: 0, half: 'norms' }] }, 'half'],
    [
      'a model without attention',
      { layers: [{ source: 0, block: 0, half: 'mlp' }] },
      'no layer runs attention',
    ],
    [
      'half a layer that comes back',
      {
        layers: [
          { source: 0, block: 0 },
          { source: 1, block: 0, half: 'mlp', refill: true },
        ],
        adapter: { gains: true, rank: 0 },
      },
      'layers[1] has "refill" and "half"',
    ],
    [
      'half a layer with an adapter',
      {
        layers: [
          { source: 0, block: 0 },
          { source: 1, block: 0, half: 'mlp' },
        ],
        adapter: { gains: true, rank: 2 },
      },
      'layers[1] runs one half',
    ],
    [
      'half a layer that is trained for others',
      {
        layers: [
          { source: 0, block: 0 },
          { source: 1, block: 1, half: 'attention' },
        ],
        patch: 'block',
      },
      'layers[1], before removed ones, which runs one half',
    ],
    [
      'pools of matrices of no rank',
      { adapter: { gains: true, rank: 0, pool: usualPool } },
      '"rank" of 1 or more',
    ],
    [
      'pools that share nothing',
      { adapter: { gains: true, rank: 4, pool: { ...usualPool, privateShare: 1 } } },
      'privateShare',
    ],
    [
      'matrices of no rank that are trained together',
      { adapter: { gains: true, rank: 0, orchestra: { components: 1 } } },
      'a "rank" that is a multiple of it, not 0',
    ],
    [
      'a head whose components do not divide the rank',
      { adapter: { gains: true, rank: 6, orchestra: { components: 4 } } },
      '4 components: give a "rank" that is a multiple of it, not 6',
    ],
    [
      'a head of as many components as no numbers have',
      { adapter: { gains: true, rank: 6, orchestra: { components: 3 } } },
      'components',
    ],
    [
      'matrices of shards that are trained together',
      { adapter: { gains: true, rank: 4, pool: usualPool, orchestra: { components: 4 } } },
      '("pool") or trained together ("orchestra"), not both',
    ],
    ['another version', { version: 2 }, 'version'],
    ['no layers', { layers: [] }, 'layers'],
    ['an unknown field', { sahre: 2 }, 'sahre'],
    ['an unknown choice of weights', { weights: 'best' }, 'weights'],
    ['a block that is no count', layers([0, -1]), 'block'],
    ['half a layer', layers([0.5, 0]), 'source'],
    ['a score that is none', { scores: [1, null, 2, 3] }, 'scores'],
    ['another depth', { checkpointLayers: 5 }, 'it is for four with 5 layers, four has 4'],
    [
      'a layer that the checkpoint lacks',
      layers([0, 0], [4, 1]),
      'layers[1].source is 4, the last layer is 3',
    ],
    ['layers out of order', layers([1, 0], [0, 1]), 'layers[1].source is 0 after 1: keep the depth order'],
    ['a gap between blocks', layers([0, 0], [1, 2]), 'block 1 of 2 has no layer'],
    ['blocks that begin at one', layers([0, 1], [1, 2]), 'block 0 of 2 has no layer'],
    ['scores for other layers', { scores: [1, 2, 3] }, 'scores has 3 entries'],
    [
      'a layer trained by itself whose block another runs',
      { ...layers([0, 0], [1, 1], [3, 1]), patch: 'block' },
      '"patch": "block" trains layers[1]',
    ],
    ['a weighted mean without weights', { weights: 'weighted' }, '"weighted" needs scores'],
  ])('refuses %s', (_what, changed, message) => {
    const check = () => checkPlan({ ...good, ...changed }, checkpoint, 'plan.json');
    expect(check).toThrow(InvalidDataError);
    expect(check).toThrow(message);
    expect(check).toThrow(/^plan\.json/);
  });

  it.each([undefined, null, 1, 'plan', [], {}])('refuses %j', (input) => {
    expect(() => checkPlan(input, checkpoint, 'plan.json')).toThrow(InvalidDataError);
  });
});

describe('readPlan', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'plan-'));
  });
  afterAll(() => rm(folder, { recursive: true }));
  const file = async (text: string) => {
    const path = join(folder, 'plan.json');
    await writeFile(path, text);
    return path;
  };

  it('gives back what makePlan made, scores and all', async () => {
    const plan = makePlan(
      checkpoint,
      { method: 'loss', scores: [0.1, 1 / 3, -1e-9, 12345.678] },
      { remove: 0.25, share: 2, weights: 'weighted', quantize: 'int4:128,down=int8', keep: [0, -1] },
    );
    const path = await file(JSON.stringify(plan, undefined, 2));
    expect(await readPlan(path, checkpoint)).toEqual(plan);
  });

  it('tells a file that is not there from one that is no plan', async () => {
    await expect(readPlan(join(folder, 'absent.json'), checkpoint)).rejects.toThrow(UsageError);
    await expect(readPlan(join(folder, 'absent.json'), checkpoint)).rejects.toThrow('foldgate plan');
    await expect(readPlan(await file('{'), checkpoint)).rejects.toThrow(InvalidDataError);
    await expect(readPlan(await file('{}'), checkpoint)).rejects.toThrow('is no fold plan');
  });
});
