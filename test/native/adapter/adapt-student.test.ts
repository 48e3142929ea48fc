import { describe, expect, it } from 'vitest';
import { adaptStudent } from '../../../compressor/adapter/adapt-student.ts';
import type { Checkpoint } from '../../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { runStudent } from '../../../compressor/evaluate/student.ts';
import { HeadRunner } from '../../../compressor/forward/head-runner.ts';
import { fitPatches, withPatches } from '../../../compressor/patch/patch-student.ts';
import { makePlan, type PlanOptions } from '../../../compressor/plan/make-plan.ts';
import { plannedStudent } from '../../../compressor/student/planned-student.ts';
import type { Student } from '../../../compressor/student/student.ts';
import { foldInto, withDecoder } from '../../fixtures/fold-into.ts';
import { golden, maxDifference, picoFamilies, picoPath } from '../../fixtures/pico.ts';
import { picoArchitecture, randomCheckpoint } from '../../fixtures/random-checkpoint.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

/** As many as the smallest side of a pico model's matrices. */
const fullRank = 64;

function planOf(checkpoint: Checkpoint, options: Partial<PlanOptions>) {
  const { name, architecture } = checkpoint;
  const layers = architecture.layers.length;
  const scores = [9, 1, 2, 9].slice(0, layers);
  const defaults = { remove: 0, share: 1, weights: 'first' as const, quantize: 'none', keep: [] };
  return makePlan({ name, layers }, { method: 'given', scores }, { ...defaults, ...options });
}

async function adapted(checkpoint: Checkpoint, options: Partial<PlanOptions>): Promise<Student> {
  const plan = planOf(checkpoint, options);
  return adaptStudent(checkpoint, plannedStudent(checkpoint, plan), plan);
}

async function logitsOf(checkpoint: Checkpoint, student: Student, tokens: number[]) {
  const [states] = await runStudent(student, [Int32Array.from(tokens)]);
  using head = new HeadRunner(checkpoint, { threads: 1 });
  return await head.logits(states!);
}

// The bias of Qwen 2's queries, keys and values stays the block's.
describe.each(picoFamilies.filter((family) => family !== 'qwen2'))('%s', (family) => {
  it.each(['first', 'mean'] as const)(
    'is itself again where adapters of full rank make up for a shared block (%s)',
    async (weights) => {
      const checkpoint = await openCheckpoint(picoPath(family));
      const { tokens, logits } = await golden(family);
      const options = { share: 2, weights, adapter: { gains: true, rank: fullRank } };
      const student = await adapted(checkpoint, options);
      expect(maxDifference(await logitsOf(checkpoint, student, tokens), logits)).toBeLessThan(1e-3);
      const without = await adapted(checkpoint, { share: 2, weights });
      expect(maxDifference(await logitsOf(checkpoint, without, tokens), logits)).toBeGreaterThan(0.1);

      const folded = await foldInto(await temporaryFolder(), checkpoint, options);
      await withDecoder(folded, 64, async (decoder) => {
        expect(maxDifference(decoder.runAll(decoder.newCache(), tokens), logits)).toBeLessThan(1e-3);
      });
      await checkpoint.close();
    },
  );
});

describe('a removed layer that comes back', () => {
  const checkpoint = randomCheckpoint();
  const tokens = [1, 5, 9, 2, 30, 7, 11];
  const windows = [Int32Array.from(tokens)];

  it('changes nothing before it is trained, low-rank matrices or not', async () => {
    const removed = plannedStudent(checkpoint, planOf(checkpoint, { remove: 0.5 }));
    for (const rank of [0, 3]) {
      const options = { remove: 0.5, refill: 'previous' as const, adapter: { gains: false, rank } };
      const student = await adapted(checkpoint, options);
      expect(student.layers).toEqual([
        { source: 0, block: 0 },
        { source: 1, block: 0, refill: true },
        { source: 2, block: 0, refill: true },
        { source: 3, block: 1 },
      ]);
      expect(await runStudent(student, windows)).toEqual(await runStudent(removed, windows));
    }
  });

  it('leaves a patch where it was: after the last layer before the cut', async () => {
    const removed = plannedStudent(checkpoint, planOf(checkpoint, { remove: 0.5 }));
    const back = await adapted(checkpoint, { remove: 0.5, refill: 'previous' });
    const text = [Int32Array.from({ length: 96 }, (_, i) => (i * 37) % picoArchitecture.vocabularySize)];
    const [one, two] = [
      withPatches(removed, await fitPatches(checkpoint, removed, text)),
      withPatches(back, await fitPatches(checkpoint, back, text)),
    ];
    expect(await two.patch(0)).toEqual(await one.patch(0));
    expect(await two.patch(2)).toBeUndefined();
    expect(await runStudent(two, windows)).toEqual(await runStudent(one, windows));
  });

  it('moves as its gains do', async () => {
    const student = await adapted(checkpoint, { remove: 0.5, refill: 'previous' });
    const moved: Student = {
      ...student,
      own: async (index) => {
        const own = { ...(await student.own(index)) };
        if (index === 1) own['mlp.gain'] = own['mlp.gain']!.map((_, i) => (i === 3 ? 1 : 0));
        return own;
      },
    };
    const [before] = await runStudent({ ...student, layers: student.layers.slice(0, 2) }, windows);
    const [after] = await runStudent({ ...moved, layers: moved.layers.slice(0, 2) }, windows);
    const { width } = picoArchitecture;
    const changed = before!.map((value, i) => Math.abs(value - after![i]!));
    expect([...changed.keys()].filter((i) => changed[i]! > 1e-6).every((i) => i % width === 3)).toBe(true);
    expect(changed[3]).toBeGreaterThan(1e-4);
  });
});

describe('a stored model with adapters', () => {
  it('has them in a blob of their own, and the blocks it would have without', async () => {
    const folder = await temporaryFolder();
    const checkpoint = randomCheckpoint();
    const options = { share: 2, quantize: 'int4:32' };
    const plain = await foldInto(folder, checkpoint, { ...options, name: 'plain' });
    const adapter = { gains: true, rank: 4 };
    const { manifest } = await foldInto(folder, checkpoint, { ...options, name: 'adapted', adapter });
    const others = ({ weights }: typeof manifest) => weights.filter(({ kind }) => kind !== 'adapters');
    expect(others(manifest)).toEqual(others(plain.manifest));
    expect(manifest.layers.map((layer) => layer.adapter ?? false)).toEqual([false, true, false, true]);
    const { bytes } = manifest.weights.find(({ kind }) => kind === 'adapters')!;
    const parameters = manifest.parameters.folded - plain.manifest.parameters.folded;
    expect(bytes).toBeGreaterThanOrEqual(4 * parameters);
    expect(bytes).toBeLessThan(4 * parameters + 4096);
  });
});
