import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { adaptStudent } from '../../../compressor/adapter/adapt-student.ts';
import { parseAdapter } from '../../../compressor/adapter/adapter.ts';
import { commonParts } from '../../../compressor/adapter/adapter-orchestra.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { blockMatrices } from '../../../compressor/graph/layer.ts';
import { makePlan } from '../../../compressor/plan/make-plan.ts';
import { plannedStudent } from '../../../compressor/student/planned-student.ts';
import { cure } from '../../../compressor/train/cure.ts';
import { type CureOptions, settle } from '../../../compressor/train/cure-options.ts';
import { CureRun } from '../../../compressor/train/cure-run.ts';
import { TrainedWeights } from '../../../compressor/train/trained-weights.ts';
import { picoPath } from '../../fixtures/pico.ts';
import { picoCure, picoData } from '../../fixtures/pico-cure.ts';
import { seeded } from '../../fixtures/random-checkpoint.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

/** All three layers run the first one's block, two of them with matrices that are trained together. */
async function orchestrated() {
  const checkpoint = await openCheckpoint(picoPath('llama'));
  onTestFinished(() => checkpoint.close());
  const plan = makePlan(
    { name: 'llama', layers: 3 },
    { method: 'none' },
    {
      ...{ remove: 0, share: 3, weights: 'first', quantize: 'none', keep: [] },
      adapter: parseAdapter('gain+orchestrated:4'),
    },
  );
  return { checkpoint, student: await adaptStudent(checkpoint, plannedStudent(checkpoint, plan), plan) };
}

async function open(changed: Partial<CureOptions> = {}) {
  const { checkpoint, student } = await orchestrated();
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

const kinds = ['layers.1.qkv.up', 'layers.2.down.down', ...commonParts.map((part) => `gate.${part}`)];

describe('adapters that are trained together', () => {
  it('are parameters with all that they have in common, which does not decay', async () => {
    const { weights } = await open();
    const found = weights.parameters.filter(({ name }) => name.startsWith('orchestra.'));
    expect(found).toHaveLength(blockMatrices.length * (2 * 2 + commonParts.length));
    for (const { name, kind } of found)
      expect(kind, name).toBe(/\.(down|up)$/.test(name) ? 'matrix' : 'vector');
    const norms = await open({ part: 'norms' });
    expect(norms.weights.parameters.every(({ name }) => !name.startsWith('orchestra.'))).toBe(true);
  });

  it.each(kinds)('have the gradient by which the loss moves: %s', async (name) => {
    const { weights, run, batches } = await open({ clipNorm: 1e9 });
    const random = seeded(6);
    for (const parameter of weights.parameters) {
      // Away from the start, where the identity hides what is transposed.
      if (parameter.name.startsWith('orchestra.'))
        parameter.values.set(parameter.values.map((value) => value + 0.2 * (random() - 0.5)));
    }
    await run.step(batches, 0);
    const { values, gradient } = weights.parameters.find((each) => each.name === `orchestra.${name}`)!;
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

  it('let one layer move another', async () => {
    const { weights, run, batches } = await open();
    for (let i = 0; i < 3; i++) await run.step(batches, 1e-2);
    const relation = weights.source!['qkv.relation']!;
    expect([relation[1], relation[2]].every((weight) => weight !== 0)).toBe(true);
    const student = weights.asStudent();
    const before = (await student.own(1))['qkv.up']!;
    weights.source!['qkv.coefficients']![4] = 5; // of the other layer
    expect((await student.own(1))['qkv.up']).not.toEqual(before);
  });

  it('lower the loss, and leave blocks and the given student as they are', async () => {
    const { student, weights, run, batches } = await open();
    const before = structuredClone(student.orchestra!.values);
    const first = await run.step(batches, 1e-3);
    expect(weights.blocks[0]).toEqual(await student.block(0));
    expect(student.orchestra!.values).toEqual(before);
    for (let i = 0; i < 10; i++) await run.step(batches, 1e-3);
    expect((await run.step(batches, 0)).loss).toBeLessThan(0.95 * first.loss);
    const trained = weights.asStudent();
    expect(trained.orchestra!.values).toEqual(weights.source);
    expect(await trained.own(1)).toMatchObject(trained.orchestra!.assemble(1));
    expect(await trained.own(1)).not.toEqual(await student.own(1));
  });

  it('end a cure as if nothing had happened where it is interrupted', async () => {
    const data = [await picoData()];
    const [whole, broken] = [await temporaryFolder(), await temporaryFolder()];
    const cureTogether = async (folder: string, more: Partial<CureOptions> = {}) => {
      const { checkpoint, student } = await orchestrated();
      return cure(checkpoint, student, { ...picoCure, part: 'adapters', data, folder, ...more });
    };
    const cured = await cureTogether(whole);
    expect(cured.after.divergence).toBeLessThan(0.9 * cured.before.divergence);
    const abort = new AbortController();
    const onStep = ({ step }: { step: number }) => step === 9 && abort.abort();
    await expect(cureTogether(broken, { onStep, signal: abort.signal })).rejects.toThrow();
    const again = await cureTogether(broken);
    const stateOf = (folder: string) => readFile(join(folder, 'state.safetensors'));
    expect((await stateOf(broken)).equals(await stateOf(whole))).toBe(true);
    expect(again.student.orchestra!.values).toEqual(cured.student.orchestra!.values);
  });
});
