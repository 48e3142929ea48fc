import { describe, expect, it } from 'vitest';
import { adaptStudent } from '../../../compressor/adapter/adapt-student.ts';
import { adaptedLayers, adaptersParameters } from '../../../compressor/adapter/adapted-layers.ts';
import { type AdapterForm, type AdapterWeights, usualPool } from '../../../compressor/adapter/adapter.ts';
import {
  AdapterPools,
  drawTables,
  mapPools,
  type PoolName,
  poolNames,
} from '../../../compressor/adapter/adapter-pools.ts';
import { fitPools, type PoolPair } from '../../../compressor/adapter/fit-pools.ts';
import { drawShards, type ShardTable } from '../../../compressor/adapter/shard-table.ts';
import type { LowRank } from '../../../compressor/adapter/truncated-svd.ts';
import type { Checkpoint } from '../../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { runStudent } from '../../../compressor/evaluate/student.ts';
import { HeadRunner } from '../../../compressor/forward/head-runner.ts';
import { blockMatrices } from '../../../compressor/graph/layer.ts';
import { makePlan, type PlanOptions } from '../../../compressor/plan/make-plan.ts';
import { scaledStudent } from '../../../compressor/quantize/scaled-student.ts';
import { plannedStudent } from '../../../compressor/student/planned-student.ts';
import { foldInto, withDecoder } from '../../fixtures/fold-into.ts';
import { golden, maxDifference, picoPath } from '../../fixtures/pico.ts';
import {
  picoArchitecture as a,
  randomArray,
  randomCheckpoint,
  seeded,
} from '../../fixtures/random-checkpoint.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const form = { gains: false, rank: 3, pool: { ...usualPool, saving: 2 } };

function randomPools(layers: number[], seed = 5): AdapterPools {
  const tables = drawTables(a, form, layers.length);
  const random = seeded(seed);
  const values = mapPools((name) => randomArray(tables[name].shards * tables[name].size, random));
  return new AdapterPools(layers, tables, values);
}

/** A vector of the rank, piece by piece. */
function vectorOf({ pieces, size, indices }: ShardTable, pool: Float32Array, layer: number, k: number) {
  const shards = [...indices[layer]!.slice(k * pieces, (k + 1) * pieces)];
  return shards.flatMap((shard) => [...pool.slice(shard * size, (shard + 1) * size)]);
}

describe('low-rank matrices from pools', () => {
  const pools = randomPools([1, 4, 6]);

  it('are the shards of each vector one behind the other, in rows of down and columns of up', () => {
    for (const [place, layer] of [1, 4, 6].entries()) {
      const matrices = pools.assemble(layer);
      for (const name of poolNames) {
        const [table, found] = [pools.tables[name], matrices[name]!];
        for (let k = 0; k < form.rank; k++) {
          const vector = vectorOf(table, pools.values[name], place, k);
          const row = found.slice(k * vector.length, (k + 1) * vector.length);
          const column = found.filter((_, i) => i % form.rank === k);
          expect([...(name.endsWith('.down') ? row : column)], name).toEqual(vector);
        }
      }
    }
    expect(pools.assemble(2)).toEqual({});
  });

  it('pass their gradients on to the shards, each the sum of all places where it lies', () => {
    const gradients = randomPools([0]).assemble(0) as Record<PoolName, Float32Array>;
    const found = mapPools((name) => new Float32Array(pools.values[name].length));
    for (const layer of [1, 6]) pools.scatter(layer, gradients, found);
    for (const name of poolNames) {
      const { size, pieces, indices } = pools.tables[name];
      const length = pieces * size;
      const wanted = new Float32Array(found[name].length);
      for (const table of [indices[0]!, indices[2]!])
        for (let k = 0; k < form.rank; k++)
          for (let i = 0; i < length; i++) {
            const at = name.endsWith('.down') ? k * length + i : i * form.rank + k;
            const shard = table[k * pieces + Math.floor(i / size)]!;
            wanted[shard * size + (i % size)]! += gradients[name][at]!;
          }
      expect(maxDifference(found[name], wanted), name).toBeLessThan(1e-5);
    }
  });

  it('are copies where copies are asked for', () => {
    const copy = pools.copy();
    copy.values['qkv.up'].fill(0);
    expect(pools.values['qkv.up'].some((value) => value !== 0)).toBe(true);
    expect(copy.tables).toBe(pools.tables);
  });
});

describe('pools that are fitted', () => {
  const [rank, inputs, outputs, layers] = [4, 24, 16, 5];
  const random = seeded(11);
  const wanted = Array.from({ length: layers }, (): LowRank => {
    const [down, up] = [randomArray(rank * inputs, random), randomArray(outputs * rank, random)];
    return { down, up };
  });

  const tablesOf = (pool = usualPool) =>
    [drawShards(inputs, rank, layers, pool, 0), drawShards(outputs, rank, layers, pool, 1)] as const;

  /** |B A - up down|² of all layers, by brute force. */
  function error(pools: PoolPair, [downs, ups]: readonly [ShardTable, ShardTable]): number {
    let sum = 0;
    for (const [layer, { down, up }] of wanted.entries()) {
      const rows = Array.from({ length: rank }, (_, k) => vectorOf(downs, pools.down, layer, k));
      const columns = Array.from({ length: rank }, (_, k) => vectorOf(ups, pools.up, layer, k));
      for (let o = 0; o < outputs; o++)
        for (let i = 0; i < inputs; i++) {
          let difference = 0;
          for (let k = 0; k < rank; k++)
            difference += columns[k]![o]! * rows[k]![i]! - up[o * rank + k]! * down[k * inputs + i]!;
          sum += difference * difference;
        }
    }
    return sum;
  }

  const nothing = (tables: ReturnType<typeof tablesOf>) =>
    error(
      { down: new Float32Array(tables[0].shards * 6), up: new Float32Array(tables[1].shards * 4) },
      tables,
    );

  it('make nearly what is wanted where every place has a shard of its own', async () => {
    const tables = tablesOf({ ...usualPool, saving: 1, privateShare: 0.99 });
    expect(error(await fitPools(wanted, ...tables), tables)).toBeLessThan(1e-5 * nothing(tables));
  });

  it('come nearer with more shards, and are nearer than anything beside them', async () => {
    const errors: number[] = [];
    for (const saving of [1.5, 3, 8]) {
      const tables = tablesOf({ ...usualPool, saving });
      const fitted = await fitPools(wanted, ...tables);
      const least = error(fitted, tables);
      const near = seeded(2);
      for (let turn = 0; turn < 20; turn++) {
        const step = randomArray(fitted.down.length, near, 0.05);
        const down = fitted.down.map((value, i) => value + step[i]!);
        expect(error({ ...fitted, down }, tables)).toBeGreaterThan(least);
      }
      errors.push(least / nothing(tables));
    }
    expect(errors).toEqual(errors.toSorted((x, y) => x - y));
    expect(errors.at(-1)).toBeLessThan(0.95);
    expect(errors[0]).toBeLessThan(0.6);
  });

  it('are given up between two steps where that is asked for', async () => {
    await expect(fitPools(wanted, ...tablesOf(), AbortSignal.abort())).rejects.toThrow('abort');
  });

  it('have sides of one size, and are zeros where nothing is wanted', async () => {
    const tables = tablesOf();
    const { down, up } = await fitPools(wanted, ...tables);
    expect(Math.hypot(...down) / Math.hypot(...up)).toBeCloseTo(1, 4);
    const none = wanted.map(({ down, up }) => ({ down: down.map(() => 0), up: up.map(() => 0) }));
    const empty = await fitPools(none, ...tables);
    expect([...empty.down, ...empty.up].every((value) => value === 0)).toBe(true);
  });
});

function planOf(checkpoint: Checkpoint, options: Partial<PlanOptions>) {
  const { name, architecture } = checkpoint;
  const layers = architecture.layers.length;
  const defaults = { remove: 0, share: 1, weights: 'first' as const, quantize: 'none', keep: [] };
  const scores = [9, 1, 2, 9].slice(0, layers);
  return makePlan({ name, layers }, { method: 'given', scores }, { ...defaults, ...options });
}

const mos = (rank: number, gains = false): AdapterForm => ({ gains, rank, pool: usualPool });

describe('a student with pools', () => {
  const checkpoint = randomCheckpoint();
  const windows = [Int32Array.from([1, 5, 9, 2, 30, 7, 11])];
  const open = async (options: Partial<PlanOptions>) => {
    const plan = planOf(checkpoint, options);
    return { plan, student: await adaptStudent(checkpoint, plannedStudent(checkpoint, plan), plan) };
  };

  it('has the parameters of its pools, and an eighth of what its matrices have', async () => {
    const { plan, student } = await open({ share: 2, adapter: mos(16) });
    expect(student.pools!.layers).toEqual(adaptedLayers(plan));
    expect(adaptersParameters(a, plan)).toBe(student.pools!.parameters);
    const plain = adaptersParameters(a, { ...plan, adapter: { gains: false, rank: 16 } });
    expect(plain / student.pools!.parameters).toBe(8);
    const gains = adaptersParameters(a, { ...plan, adapter: mos(16, true) });
    expect(gains - student.pools!.parameters).toBe(2 * 2 * a.width);
  });

  it('starts nearer to what its layers were than without adapters, and not as near as with matrices of their own', async () => {
    const distance = async (adapter: AdapterForm) => {
      const { student } = await open({ share: 2, adapter });
      let sum = 0;
      for (const [index, { block, source }] of student.layers.entries()) {
        const own = (await student.own(index)) as AdapterWeights;
        for (const matrix of blockMatrices) {
          const shared = await student.matrix(block, matrix);
          const was = await plannedStudent(checkpoint, planOf(checkpoint, {})).matrix(source, matrix);
          const [down, up] = [own[`${matrix}.down`], own[`${matrix}.up`]];
          const { rank } = adapter;
          const inputs = (down?.length ?? 0) / rank;
          for (let i = 0; i < was.length; i++) {
            let value = shared[i]! - was[i]!;
            if (down && up)
              for (let k = 0; k < rank; k++)
                value += up[Math.floor(i / inputs) * rank + k]! * down[k * inputs + (i % inputs)]!;
            sum += value * value;
          }
        }
      }
      return sum;
    };
    const [none, pooled, plain] = [
      await distance({ gains: true, rank: 0 }),
      await distance(mos(16)),
      await distance({ gains: false, rank: 16 }),
    ];
    expect(pooled).toBeLessThan(0.97 * none);
    expect(plain).toBeLessThan(pooled);
  });

  it('changes nothing before it is trained where removed layers come back', async () => {
    const removed = plannedStudent(checkpoint, planOf(checkpoint, { remove: 0.5 }));
    const { student } = await open({ remove: 0.5, refill: 'previous', adapter: mos(4) });
    expect(await runStudent(student, windows)).toEqual(await runStudent(removed, windows));
  });

  it('has none any more once blocks are scaled apart: its matrices are the scaled ones', async () => {
    const { student } = await open({ share: 2, adapter: mos(4) });
    const qkv = Float32Array.from({ length: a.width }, (_, i) => 1 + i / a.width);
    const scaled = scaledStudent(student, new Map([[0, { qkv }]]));
    expect(scaled.pools).toBeUndefined();
    expect(await scaled.own(1)).not.toEqual(await student.own(1));
  });
});

describe('a stored model with pools', () => {
  it('computes what the student does, and stores shards instead of matrices', async () => {
    const checkpoint = await openCheckpoint(picoPath('llama'));
    const { tokens } = await golden('llama');
    const options = { share: 3, adapter: mos(16, true) };
    const plan = planOf(checkpoint, options);
    const student = await adaptStudent(checkpoint, plannedStudent(checkpoint, plan), plan);
    const [states] = await runStudent(student, [Int32Array.from(tokens)]);
    using head = new HeadRunner(checkpoint, { threads: 1 });
    const wanted = await head.logits(states!);

    const folder = await temporaryFolder();
    const folded = await foldInto(folder, checkpoint, options);
    await withDecoder(folded, 64, async (decoder) => {
      expect(maxDifference(decoder.runAll(decoder.newCache(), tokens), wanted)).toBeLessThan(1e-3);
    });
    const bytesOf = ({ weights }: typeof folded.manifest) =>
      weights.find(({ kind }) => kind === 'adapters')!.bytes;
    const plain = { ...options, name: 'plain', adapter: { gains: true, rank: 16 } };
    const others = await foldInto(folder, checkpoint, plain);
    expect(bytesOf(folded.manifest)).toBeLessThan(0.3 * bytesOf(others.manifest));
    const without = await foldInto(folder, checkpoint, { share: 3, name: 'without' });
    const parameters = folded.manifest.parameters.folded - without.manifest.parameters.folded;
    expect(parameters).toBe(student.pools!.parameters + 2 * 2 * checkpoint.architecture.width);
    await checkpoint.close();
  });

  it('is refused where the inputs of blocks would be scaled apart', async () => {
    const how = { share: 2, quantize: 'int4:32', adapter: mos(4), calibrate: [Int32Array.of(1, 2, 3)] };
    const folding = foldInto(await temporaryFolder(), randomCheckpoint(), { ...how, calibration: 'awq' });
    await expect(folding).rejects.toThrow(/--calibrate awq scales .* --adapter mos .*Take --calibrate gptq/);
  });
});
