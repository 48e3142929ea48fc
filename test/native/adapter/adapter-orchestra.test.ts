import { describe, expect, it } from 'vitest';
import { adaptStudent } from '../../../compressor/adapter/adapt-student.ts';
import { adaptedLayers, adaptersParameters } from '../../../compressor/adapter/adapted-layers.ts';
import { adapterShapes, parseAdapter } from '../../../compressor/adapter/adapter.ts';
import { AdapterOrchestra, commonParts } from '../../../compressor/adapter/adapter-orchestra.ts';
import { mapPools, type PoolValues, poolNames } from '../../../compressor/adapter/adapter-pools.ts';
import { hypercomplexMatrix } from '../../../compressor/adapter/hypercomplex.ts';
import type { Checkpoint } from '../../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { runStudent } from '../../../compressor/evaluate/student.ts';
import { WorkFolder } from '../../../compressor/export/work-folder.ts';
import { HeadRunner } from '../../../compressor/forward/head-runner.ts';
import { blockMatrices } from '../../../compressor/graph/layer.ts';
import { makePlan, type PlanOptions } from '../../../compressor/plan/make-plan.ts';
import { parsePrecision, resolvePrecision } from '../../../compressor/quantize/precision.ts';
import { scaledStudent } from '../../../compressor/quantize/scaled-student.ts';
import { plannedStudent } from '../../../compressor/student/planned-student.ts';
import { exportStudent } from '../../fixtures/export-student.ts';
import { foldInto, withDecoder } from '../../fixtures/fold-into.ts';
import { golden, maxDifference, picoPath } from '../../fixtures/pico.ts';
import {
  picoArchitecture as a,
  randomArray,
  randomCheckpoint,
  seeded,
} from '../../fixtures/random-checkpoint.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const rank = 4;

function randomMatrices(seed: number): PoolValues {
  const shapes = adapterShapes(a, { gains: false, rank });
  const random = seeded(seed);
  return mapPools((name) =>
    randomArray(
      shapes[name]!.reduce((size, n) => size * n),
      random,
    ),
  );
}

/** All values are drawn: nothing is the identity any more. */
function randomOrchestra(layers: number[]): AdapterOrchestra {
  const starts = new Map(layers.map((index) => [index, randomMatrices(index)]));
  const orchestra = AdapterOrchestra.start(starts, rank, 2);
  const random = seeded(5);
  for (const matrix of blockMatrices) {
    for (const part of commonParts) {
      const values = orchestra.values[`${matrix}.${part}`];
      values.set(randomArray(values.length, random));
    }
  }
  return orchestra;
}

describe('low-rank matrices that are trained together', () => {
  const layers = [1, 4, 6];

  it('start as what they are given', () => {
    const starts = new Map(layers.map((index) => [index, randomMatrices(index)]));
    const orchestra = AdapterOrchestra.start(starts, rank, 4);
    for (const index of layers) expect(orchestra.assemble(index)).toEqual(starts.get(index));
    expect(orchestra.assemble(2)).toEqual({});
  });

  it('are up H diag(c) down, with the coefficients of all layers by their relation', () => {
    const { values, ...orchestra } = randomOrchestra(layers);
    expect(orchestra.rank).toBe(rank);
    for (const [place, index] of layers.entries()) {
      const found = randomOrchestra(layers).assemble(index);
      for (const matrix of blockMatrices) {
        const head = hypercomplexMatrix(
          { bases: values[`${matrix}.bases`], factors: values[`${matrix}.factors`] },
          rank,
        );
        const up = values[`layers.${index}.${matrix}.up`]!;
        const wanted = up.map((_, i) => {
          const [row, c] = [Math.floor(i / rank), i % rank];
          let [sum, coefficient] = [0, 0];
          for (let k = 0; k < rank; k++) sum += up[row * rank + k]! * head[k * rank + c]!;
          for (let other = 0; other < layers.length; other++)
            coefficient +=
              values[`${matrix}.relation`][place * layers.length + other]! *
              values[`${matrix}.coefficients`][other * rank + c]!;
          return sum * coefficient;
        });
        expect(maxDifference(found[`${matrix}.up`]!, wanted), matrix).toBeLessThan(1e-6);
        expect(found[`${matrix}.down`]).toEqual(values[`layers.${index}.${matrix}.down`]);
      }
    }
  });

  it('give their gradients to all that they are made of', () => {
    const orchestra = randomOrchestra(layers);
    const weights = new Map(layers.map((index) => [index, randomMatrices(index + 20)]));
    /** A function of all layers' matrices whose gradients are the weights. */
    const value = () => {
      let sum = 0;
      for (const [index, factors] of weights) {
        const matrices = orchestra.assemble(index) as PoolValues;
        for (const name of poolNames)
          for (let i = 0; i < factors[name].length; i++) sum += factors[name][i]! * matrices[name][i]!;
      }
      return sum;
    };
    const gradients = Object.fromEntries(
      Object.entries(orchestra.values).map(([name, { length }]) => [name, new Float32Array(length)]),
    ) as AdapterOrchestra['values'];
    for (const [index, factors] of weights) orchestra.scatter(index, factors, gradients);
    for (const [name, values] of Object.entries(orchestra.values)) {
      const gradient = gradients[name as keyof typeof gradients]!;
      for (const i of new Set([0, 1, values.length >> 1, values.length - 1])) {
        const before = values[i]!;
        // It is linear in every single number.
        const at = (x: number) => {
          values[i] = x;
          return value();
        };
        const slope = (at(before + 1) - at(before - 1)) / 2;
        values[i] = before;
        expect(Math.abs(slope - gradient[i]!), `${name} ${i}`).toBeLessThan(1e-4 * (1 + Math.abs(slope)));
      }
    }
  });

  it('are copied with all that they have', () => {
    const orchestra = randomOrchestra(layers);
    const copy = orchestra.copy();
    for (const values of Object.values(copy.values)) values.fill(0);
    expect(Object.values(orchestra.values).every((values) => values.some((value) => value !== 0))).toBe(true);
  });
});

function planOf(checkpoint: Checkpoint, options: Partial<PlanOptions>) {
  const { name, architecture } = checkpoint;
  const defaults = { remove: 0, share: 1, weights: 'first' as const, quantize: 'none', keep: [] };
  const scores = [9, 1, 2, 9].slice(0, architecture.layers.length);
  return makePlan({ name, layers: scores.length }, { method: 'given', scores }, { ...defaults, ...options });
}

async function open(checkpoint: Checkpoint, options: Partial<PlanOptions>) {
  const plan = planOf(checkpoint, options);
  return { plan, student: await adaptStudent(checkpoint, plannedStudent(checkpoint, plan), plan) };
}

describe('a student whose adapters are trained together', () => {
  const checkpoint = randomCheckpoint();

  it.each(['lora', 'gain+lora'])('starts as by %s, bit for bit', async (lora) => {
    const together = await open(checkpoint, {
      share: 2,
      adapter: parseAdapter(`${lora.replace('lora', 'orchestrated')}:8`),
    });
    const alone = await open(checkpoint, { share: 2, adapter: parseAdapter(`${lora}:8`) });
    expect(together.student.orchestra!.layers).toEqual(adaptedLayers(together.plan));
    for (const index of alone.student.layers.keys())
      expect(await together.student.own(index)).toEqual(await alone.student.own(index));
    expect(adaptersParameters(a, together.plan)).toBe(adaptersParameters(a, alone.plan));
  });

  it('trains few numbers more than it stores', async () => {
    const { plan, student } = await open(checkpoint, { share: 2, adapter: parseAdapter('orchestrated:8') });
    const more = student.orchestra!.parameters - adaptersParameters(a, plan);
    // Of each kind of matrix: two layers' coefficients, their relation, four bases and four factors.
    expect(more).toBe(5 * (2 * 8 + 2 * 2 + 4 ** 3 + 8 ** 2 / 4));
  });

  it('changes nothing before it is trained where removed layers come back', async () => {
    const windows = [Int32Array.from([1, 5, 9, 2, 30, 7, 11])];
    const removed = plannedStudent(checkpoint, planOf(checkpoint, { remove: 0.5 }));
    const { student } = await open(checkpoint, {
      ...{ remove: 0.5, refill: 'previous' },
      adapter: parseAdapter('orchestrated:4'),
    });
    expect(await runStudent(student, windows)).toEqual(await runStudent(removed, windows));
  });

  it('has matrices of its layers alone once blocks are scaled apart', async () => {
    const { student } = await open(checkpoint, { share: 2, adapter: parseAdapter('orchestrated:4') });
    const qkv = Float32Array.from({ length: a.width }, (_, i) => 1 + i / a.width);
    const scaled = scaledStudent(student, new Map([[0, { qkv }]]));
    expect(scaled.orchestra).toBeUndefined();
    expect(await scaled.own(1)).not.toEqual(await student.own(1));
  });
});

describe('a stored model whose adapters were trained together', () => {
  it('computes what the student does, in the bytes of plain matrices', async () => {
    const checkpoint = await openCheckpoint(picoPath('llama'));
    const { tokens } = await golden('llama');
    const adapter = parseAdapter('gain+orchestrated:8');
    const { plan, student } = await open(checkpoint, { share: 3, adapter });
    const random = seeded(2);
    // As after training: no part is what it was.
    for (const values of Object.values(student.orchestra!.values))
      values.set(values.map((value) => value + 0.05 * (random() - 0.5)));
    const [states] = await runStudent(student, [Int32Array.from(tokens)]);
    using head = new HeadRunner(checkpoint, { threads: 1 });
    const wanted = await head.logits(states!);
    const folder = await temporaryFolder();
    await WorkFolder.use(folder, { test: 'orchestra' }, async (work) => {
      const { manifest, files } = await exportStudent({
        ...{ checkpoint, student, plan, work },
        precision: resolvePrecision(checkpoint, plan, parsePrecision('none')),
      });
      const graphPath = files.get(manifest.graph.sha256)!;
      await withDecoder({ manifest, graphPath }, 64, async (decoder) => {
        expect(maxDifference(decoder.runAll(decoder.newCache(), tokens), wanted)).toBeLessThan(1e-3);
      });
      const alone = await foldInto(folder, checkpoint, { share: 3, adapter: parseAdapter('gain+lora:8') });
      const bytesOf = ({ weights }: typeof manifest) =>
        weights.find(({ kind }) => kind === 'adapters')!.bytes;
      expect(bytesOf(manifest)).toBe(bytesOf(alone.manifest));
      expect(manifest.parameters).toEqual(alone.manifest.parameters);
    });
    await checkpoint.close();
  });
});
