import { describe, expect, it } from 'vitest';
import type { Checkpoint, LayerRole } from '../../compressor/checkpoint/checkpoint.ts';
import { methodPlan } from '../../compressor/compare/method-plan.ts';
import { methods } from '../../compressor/methods/index.ts';
import { makePlan, type PlanOptions } from '../../compressor/plan/make-plan.ts';
import { withNearestBlocks } from '../../compressor/plan/nearest-blocks.ts';
import { picoArchitecture, randomCheckpoint } from '../fixtures/random-checkpoint.ts';
import { asItIs, type Rewired, rewired } from '../fixtures/rewired-checkpoint.ts';
import { textOf } from '../fixtures/texts.ts';

// So narrow that the approximations of this rank are exact: what is compared is the metric alone.
const rank = 4;
const architecture = {
  ...picoArchitecture,
  ...{ width: 16, heads: 1, kvHeads: 1, intermediateSize: 24 },
  layers: Array.from({ length: 9 }, () => picoArchitecture.layers[0]!),
};
const random = randomCheckpoint(architecture);

function planOf(removed: number[], options: Partial<PlanOptions> = {}) {
  const scores = architecture.layers.map((_, layer) => (removed.includes(layer) ? 0 : 1));
  return makePlan(
    { name: 'random', layers: scores.length },
    { method: 'given', scores },
    {
      ...{ remove: removed.length / scores.length, share: 1, weights: 'first', quantize: 'none', keep: [] },
      ...{ refill: 'nearest', adapter: { gains: true, rank } },
      ...options,
    },
  );
}

/** By source layer, the layer whose block it runs. */
function filledWith(plan: ReturnType<typeof planOf>): Map<number, number> {
  const kept = plan.layers.filter(({ refill }) => !refill);
  const owner = (block: number) => kept.find((layer) => layer.block === block)!.source;
  return new Map(
    plan.layers.filter(({ refill }) => refill).map(({ source, block }) => [source, owner(block)]),
  );
}

/** A checkpoint whose layers are related: each is made of random ones by weights. */
function related(seedless: Checkpoint): Checkpoint {
  const layers: Rewired[] = asItIs(seedless);
  layers[2]!.matrices = [
    [6, 0.9],
    [2, 0.5],
  ];
  layers[4]!.matrices = [
    [1, 0.7],
    [4, 0.6],
  ];
  layers[5]!.matrices = [
    [3, -0.4],
    [5, 0.9],
  ];
  layers[7]!.matrices = [[7, 0.8]];
  return rewired(seedless, layers);
}

type Matrix = number[][];

/** Singular values and vectors by one-sided Jacobi rotations of the columns; the sum of the first `count` terms. */
function truncated(matrix: Matrix, count: number): Matrix {
  const [rows, columns] = [matrix.length, matrix[0]!.length];
  const a = matrix.map((row) => [...row]);
  const v = Array.from({ length: columns }, (_, i) =>
    Array.from({ length: columns }, (__, j) => Number(i === j)),
  );
  for (let sweep = 0, turned = true; sweep < 40 && turned; sweep++) {
    turned = false;
    for (let p = 0; p < columns; p++) {
      for (let q = p + 1; q < columns; q++) {
        let [pp, qq, pq] = [0, 0, 0];
        for (const row of a) {
          pp += row[p]! ** 2;
          qq += row[q]! ** 2;
          pq += row[p]! * row[q]!;
        }
        if (Math.abs(pq) <= 1e-12 * Math.sqrt(pp * qq)) continue;
        turned = true;
        const angle = Math.atan2(2 * pq, pp - qq) / 2;
        const [c, s] = [Math.cos(angle), Math.sin(angle)];
        for (const row of [...a, ...v]) {
          const [x, y] = [row[p]!, row[q]!];
          row[p] = c * x + s * y;
          row[q] = c * y - s * x;
        }
      }
    }
  }
  const sizes = Array.from({ length: columns }, (_, j) => a.reduce((sum, row) => sum + row[j]! ** 2, 0));
  const first = [...sizes.keys()].sort((i, j) => sizes[j]! - sizes[i]!).slice(0, count);
  return Array.from({ length: rows }, (_, i) =>
    Array.from({ length: columns }, (__, j) => first.reduce((sum, k) => sum + a[i]![k]! * v[j]![k]!, 0)),
  );
}

const minus = (a: Matrix, b: Matrix) => a.map((row, i) => row.map((value, j) => value - b[i]![j]!));

const parts: LayerRole[][] = [
  ['attention.q', 'attention.k', 'attention.v'],
  ['attention.output'],
  ['mlp.gate'],
  ['mlp.up'],
  ['mlp.down'],
];

async function matricesOf(checkpoint: Checkpoint, layer: number): Promise<Matrix[]> {
  const matrices: Matrix[] = [];
  for (const roles of parts) {
    const stacked: Matrix = [];
    for (const role of roles) {
      const tensor = checkpoint.tensor(`layers.${layer}.${role}`);
      const [weights, columns] = [await tensor.read(), tensor.shape[1]!];
      for (let at = 0; at < weights.length; at += columns)
        stacked.push([...weights.subarray(at, at + columns)]);
    }
    matrices.push(stacked);
  }
  return matrices;
}

/** The metric written out, of full matrices. */
async function bruteForce(checkpoint: Checkpoint, removed: number[]): Promise<Map<number, number>> {
  const near: Matrix[][] = [];
  for (const layer of architecture.layers.keys())
    near.push((await matricesOf(checkpoint, layer)).map((matrix) => truncated(matrix, rank)));
  const error = (i: number, j: number) =>
    near[i]!.reduce((total, own, at) => {
      const difference = minus(own, near[j]![at]!);
      const left = minus(difference, truncated(difference, rank));
      return total + left.flat().reduce((sum, value) => sum + value * value, 0);
    }, 0);
  const kept = [...architecture.layers.keys()].filter((layer) => !removed.includes(layer));
  return new Map(
    removed.map((i) => {
      const errors = kept.map((j) => error(i, j));
      return [i, kept[errors.indexOf(Math.min(...errors))]!];
    }),
  );
}

describe('the nearest block', () => {
  it('is that of the metric written out, for every layer that comes back', async () => {
    const checkpoint = related(random);
    const removed = [1, 2, 3, 5];
    const expected = await bruteForce(checkpoint, removed);
    expect(filledWith(await withNearestBlocks(checkpoint, planOf(removed)))).toEqual(expected);
    expect(new Set(expected.values()).size).toBeGreaterThan(1); // not one block for all
    expect(expected.get(2)).toBe(6);
  });

  it.each([
    [2, 7],
    [6, 0],
    [8, 3],
  ])('of layer %i is its copy, layer %i, however far', async (layer, copy) => {
    const layers = asItIs(random);
    layers[copy]!.matrices = [[layer, 1]];
    const plan = await withNearestBlocks(rewired(random, layers), planOf([layer, 4]));
    expect(filledWith(plan).get(layer)).toBe(copy);
  });

  it('may differ by what low-rank matrices make up for', async () => {
    const layers = asItIs(random);
    layers[7]!.matrices = [[3, 1]];
    // Ten times as large as the matrices themselves, and of rank 1.
    const added = (role: string, weights: Float32Array, columns: number) =>
      role.startsWith('layers.7.')
        ? weights.map((w, i) => w + Math.sin(1 + (i % columns)) * Math.cos(Math.floor(i / columns)))
        : weights;
    const plan = await withNearestBlocks(rewired(random, layers, added), planOf([3]));
    expect(filledWith(plan).get(3)).toBe(7);
  });

  it.each([
    [2, [5, 6]],
    [3, [7, 8]],
  ])('of a group is what the group runs: block %i', async (block, group) => {
    const layers = asItIs(random);
    layers[4]!.matrices = group.map((layer) => [layer, 0.5]);
    const options = { share: 2, weights: 'mean' as const };
    const plan = await withNearestBlocks(rewired(random, layers), planOf([4], options));
    expect(plan.layers[4]).toEqual({ source: 4, block, refill: true });
  });

  it('leaves a plan alone in which no layer comes back', async () => {
    const plan = planOf([2], { refill: 'none' });
    expect(await withNearestBlocks(random, plan)).toBe(plan);
  });

  it('stops when it is told to, and tells how far it is', async () => {
    const seen: [number, number][] = [];
    await withNearestBlocks(random, planOf([2, 3]), { onProgress: (...at) => seen.push(at) });
    expect(seen.at(-1)).toEqual([45, 45]);
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(withNearestBlocks(random, planOf([2]), { signal })).rejects.toThrow('enough');
  });

  it('is what flexigpt takes, at the layers of least influence', async () => {
    const checkpoint = related(random);
    const text = textOf([[1, 5, 9, 2, 30, 7, 11, 64, 3, 17]]);
    const method = { ...methods.flexigpt!, adapter: `gain+lora:${rank}` };
    const plan = await methodPlan(checkpoint, method, 0.2, 'none', text, {});
    expect(plan).toMatchObject({ method: 'influence', adapter: { gains: true, rank } });
    const chosen = filledWith(plan);
    expect(chosen.size).toBeGreaterThan(1);
    expect(chosen).toEqual(await bruteForce(checkpoint, [...chosen.keys()]));
    // Not by chance those before them.
    expect([...chosen].some(([layer, other]) => other !== layer - 1)).toBe(true);
  });
});
