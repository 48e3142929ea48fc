import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { adaptStudent } from '../../../compressor/adapter/adapt-student.ts';
import { usualPool } from '../../../compressor/adapter/adapter.ts';
import { poolNames } from '../../../compressor/adapter/adapter-pools.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { makePlan } from '../../../compressor/plan/make-plan.ts';
import { plannedStudent } from '../../../compressor/student/planned-student.ts';
import { cure } from '../../../compressor/train/cure.ts';
import { type CureOptions, settle } from '../../../compressor/train/cure-options.ts';
import { CureRun } from '../../../compressor/train/cure-run.ts';
import { TrainedWeights } from '../../../compressor/train/trained-weights.ts';
import { maxDifference, picoPath } from '../../fixtures/pico.ts';
import { picoCure, picoData } from '../../fixtures/pico-cure.ts';
import { randomArray, seeded } from '../../fixtures/random-checkpoint.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

/** All three layers run the first one's block, two of them with matrices from pools. */
async function pooled() {
  const checkpoint = await openCheckpoint(picoPath('llama'));
  onTestFinished(() => checkpoint.close());
  const plan = makePlan(
    { name: 'llama', layers: 3 },
    { method: 'none' },
    {
      ...{ remove: 0, share: 3, weights: 'first', quantize: 'none', keep: [] },
      adapter: { gains: true, rank: 4, pool: usualPool },
    },
  );
  return { checkpoint, student: await adaptStudent(checkpoint, plannedStudent(checkpoint, plan), plan) };
}

async function open(changed: Partial<CureOptions> = {}) {
  const { checkpoint, student } = await pooled();
  const options = { data: [], folder: '', tokens: 1000, length: 24, tokensPerStep: 96, batch: 2 };
  const settings = settle({ ...options, part: 'adapters', ...changed }, 128);
  const weights = await TrainedWeights.read(student, settings.part);
  const keep = { keepTeacher: true, keepActivations: true };
  const run = await CureRun.open(checkpoint, weights, settings, keep);
  onTestFinished(() => run[Symbol.dispose]());
  const random = seeded(3);
  const drawn = () => Int32Array.from({ length: 48 }, () => Math.floor(random() * 96));
  const batches = [1, 2].map(() => ({ tokens: drawn(), targets: drawn() }));
  return { student, weights, run, batches };
}

describe('pools that are trained', () => {
  it('take the place of the matrices made of them', async () => {
    const { weights } = await open();
    const names = weights.parameters.map(({ name }) => name);
    expect(names.filter((name) => name.startsWith('pools.'))).toEqual(
      poolNames.map((name) => `pools.${name}`),
    );
    expect(names.filter((name) => /layers\.\d+\..*\.(down|up)$/.test(name))).toEqual([]);
    expect(names).toContain('layers.1.mlp.gain');
    const norms = await open({ part: 'norms' });
    expect(norms.weights.parameters.every(({ name }) => !name.startsWith('pools.'))).toBe(true);
  });

  // What the loss does is measured on the whole model, so the way there and back is one thing.
  it.each(poolNames)('have the gradient by which the loss moves: %s', async (name) => {
    const { weights, run, batches } = await open({ part: 'all', clipNorm: 1e9 });
    await run.step(batches, 0);
    const { values, gradient } = weights.parameters.find((parameter) => parameter.name === `pools.${name}`)!;
    const size = Math.hypot(...gradient);
    const direction = gradient.map((value) => value / size);
    const start = values.slice();
    const lossAt = async (step: number) => {
      values.set(start.map((value, i) => value + step * direction[i]!));
      return (await run.step(batches, 0)).loss;
    };
    const step = 0.02;
    const slope = ((await lossAt(step)) - (await lossAt(-step))) / (2 * step);
    expect(slope / size).toBeCloseTo(1, 1);
    expect(size).toBeGreaterThan(1e-4);
  });

  it('have it along any direction, over all pools at once', async () => {
    const { weights, run, batches } = await open();
    await run.step(batches, 0);
    const pools = weights.parameters.filter(({ name }) => name.startsWith('pools.'));
    const random = seeded(8);
    const moves = pools.map(({ values, gradient }) => ({
      ...{ values, start: values.slice(), gradient: gradient.slice() },
      // Half of it at random, half along the gradient: a random direction alone hardly moves the loss.
      direction: randomArray(values.length, random, 0.05).map((value, i) => value + 5 * gradient[i]!),
    }));
    const lossAt = async (step: number) => {
      for (const { values, start, direction } of moves)
        values.set(start.map((value, i) => value + step * direction[i]!));
      return (await run.step(batches, 0)).loss;
    };
    const expected = moves.reduce(
      (sum, { gradient, direction }) =>
        sum + gradient.reduce((dot, value, i) => dot + value * direction[i]!, 0),
      0,
    );
    const step = 0.02;
    expect(((await lossAt(step)) - (await lossAt(-step))) / (2 * step) / expected).toBeCloseTo(1, 1);
  });

  it('move and lower the loss, and leave blocks and the given student as they are', async () => {
    const { student, weights, run, batches } = await open();
    const before = structuredClone(student.pools!.values);
    const first = await run.step(batches, 1e-3);
    expect(weights.blocks[0]).toEqual(await student.block(0));
    expect(student.pools!.values).toEqual(before);
    for (const name of poolNames)
      expect(maxDifference(weights.source![name]!, before[name]) / 1e-3, name).toBeCloseTo(1, 1);
    for (let i = 0; i < 10; i++) await run.step(batches, 1e-3);
    expect((await run.step(batches, 0)).loss).toBeLessThan(0.95 * first.loss);
    const trained = weights.asStudent();
    expect(trained.pools!.values).toEqual(weights.source);
    expect(await trained.own(1)).toMatchObject(trained.pools!.assemble(1));
    expect(await trained.own(1)).not.toEqual(await student.own(1));
  });

  it('end a cure as if nothing had happened where it is interrupted', async () => {
    const data = [await picoData()];
    const [whole, broken] = [await temporaryFolder(), await temporaryFolder()];
    const curePooled = async (folder: string, more: Partial<CureOptions> = {}) => {
      const { checkpoint, student } = await pooled();
      return cure(checkpoint, student, { ...picoCure, part: 'adapters', data, folder, ...more });
    };
    const cured = await curePooled(whole);
    expect(cured.after.divergence).toBeLessThan(0.9 * cured.before.divergence);
    const abort = new AbortController();
    const onStep = ({ step }: { step: number }) => step === 9 && abort.abort();
    await expect(curePooled(broken, { onStep, signal: abort.signal })).rejects.toThrow();
    const steps: number[] = [];
    const again = await curePooled(broken, { onStep: ({ step }) => steps.push(step) });
    expect(steps[0]).toBe(10);
    const stateOf = (folder: string) => readFile(join(folder, 'state.safetensors'));
    expect((await stateOf(broken)).equals(await stateOf(whole))).toBe(true);
    expect(again.student.pools!.values).toEqual(cured.student.pools!.values);
  });
});
