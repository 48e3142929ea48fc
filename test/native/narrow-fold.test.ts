import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openLocalModel } from '../../artifact/models/open-local.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { evaluateStudent } from '../../compressor/evaluate/student.ts';
import { windowsFrom } from '../../compressor/evaluate/windows.ts';
import { keepNarrowed } from '../../compressor/export/keep-narrowed.ts';
import { WorkFolder } from '../../compressor/export/work-folder.ts';
import { narrowStudent } from '../../compressor/narrow/narrow-student.ts';
import { fitPatches, withPatches } from '../../compressor/patch/patch-student.ts';
import type { FoldPlan } from '../../compressor/plan/plan.ts';
import { makeStudent } from '../../compressor/student/make-student.ts';
import { plannedStudent, unfolded } from '../../compressor/student/planned-student.ts';
import type { Student } from '../../compressor/student/student.ts';
import { cure } from '../../compressor/train/cure.ts';
import { foldgate } from '../fixtures/command-line.ts';
import { picoPath } from '../fixtures/pico.ts';
import { picoCure, picoData } from '../fixtures/pico-cure.ts';
import { taleText } from '../fixtures/tale-text.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

const windows = Array.from({ length: 8 }, (_, w) =>
  Int32Array.from({ length: 64 }, (_, i) => 5 + ((i * (w + 3) + 7 * w) % 250)),
);

async function narrowPico(widths: number[]) {
  const checkpoint = await openCheckpoint(picoPath('llama'));
  onTestFinished(() => checkpoint.close());
  const work = await WorkFolder.open(await temporaryFolder(), widths);
  return {
    checkpoint,
    student: await narrowStudent(unfolded(checkpoint), widths, windows, keepNarrowed(work)),
  };
}

async function cured(student: Student, checkpoint: Parameters<typeof cure>[0], sparseGradients?: number) {
  return cure(checkpoint, student, {
    ...picoCure,
    tokens: 60 * 64,
    data: [await picoData()],
    folder: await temporaryFolder(),
    ...(sparseGradients !== undefined && { sparseGradients }),
  });
}

describe('the cure of narrower MLPs', () => {
  it('brings a student with blocks of two widths nearer to the checkpoint', async () => {
    const { checkpoint, student } = await narrowPico([32, 64, 32]);
    const { student: after, ...losses } = await cured(student, checkpoint);
    expect(losses.after.divergence).toBeLessThan(0.7 * losses.before.divergence);
    expect(after.widths).toEqual([32, 64, 32]);
    expect((await after.matrix(0, 'down')).length).toBe(32 * 32);
    expect((await after.matrix(1, 'down')).length).toBe(32 * 64);
  });

  it('follows sparse gradients where all blocks have one width, and refuses where they have not', async () => {
    const same = await narrowPico([32, 32, 32]);
    const { before, after } = await cured(same.student, same.checkpoint, 0.05);
    expect(after.divergence).toBeLessThan(before.divergence);
    const mixed = await narrowPico([32, 64, 32]);
    await expect(cured(mixed.student, mixed.checkpoint, 0.05)).rejects.toThrow('several widths (32, 64)');
  });
});

describe('foldgate fold --method modegpt', () => {
  it.each([
    ['int4 and int8 as they are worth it, fitted in codes', ['--quantize', 'auto:5.5,down=int4:32'], []],
    ['scaled inputs', ['--quantize', 'int4:32', '--calibrate', 'awq+gptq'], []],
    ['training to round well', ['--quantize', 'int4:32', '--quantize-aware', '512'], ['quantization-aware']],
  ])('cures and stores them with %s', async (_name, how, stages) => {
    const [folder, data] = [await temporaryFolder(), await picoData()];
    const url = `file:${join(folder, 'narrow')}`;
    const { code, stdout, stderr } = await foldgate(
      ...[
        'fold',
        picoPath('llama'),
        '--method',
        'modegpt',
        '--remove',
        '0.2',
        '--cure-tokens',
        '1024',
        ...how,
      ],
      ...['--data', data, '--out', url, '--json'],
    );
    expect(code, stderr).toBe(0);
    expect(stderr).toContain('Narrowing MLPs: 2/2');
    expect(stderr).toMatch(/MLPs {9}32 to 64 wide of 64, 66\.7% in the mean/);
    const { quality } = JSON.parse(stdout) as { quality: { stage: string; perplexity: number }[] };
    const found = quality.map(({ stage }) => stage);
    for (const stage of ['checkpoint', 'narrowed', 'cured', 'quantized', ...stages])
      expect(found).toContain(stage);
    const { manifest } = await openLocalModel(url);
    const widths = manifest.weights.filter(({ kind }) => kind === 'block');
    expect(widths.map(({ intermediateSize = 64 }) => intermediateSize).toSorted()).toEqual([32, 32, 64]);
    const inspected = await foldgate('inspect', url);
    expect(inspected.stdout).toMatch(/LAYER +SOURCE +BLOCK +MLP WIDTH/);
    const whole = await readFile(join(folder, 'blobs', manifest.graph.sha256));
    expect(whole.length).toBe(manifest.graph.bytes);
  });

  it('goes with removed layers, patched over or trained over', async () => {
    const folder = await temporaryFolder();
    for (const patch of ['linear', 'block']) {
      const url = `file:${join(folder, patch)}`;
      const { code, stdout, stderr } = await foldgate(
        ...['fold', picoPath('llama'), '--remove', '0.34', '--width', '0.5', '--patch', patch],
        ...['--quantize', 'none', '--out', url, '--json'],
      );
      expect(code, stderr).toBe(0);
      const { quality } = JSON.parse(stdout) as { quality: { perplexity: number }[] };
      expect(quality.every(({ perplexity }) => Number.isFinite(perplexity))).toBe(true);
      const { manifest } = await openLocalModel(url);
      expect(manifest.layers).toHaveLength(2);
      const blocks = manifest.weights.filter(({ kind }) => kind === 'block');
      expect(blocks.map(({ intermediateSize }) => intermediateSize)).toEqual([32, 32]);
    }
  });
});

it('takes what goes from layers and from MLPs, these by influence whatever ranks the layers', async () => {
  const { code, stdout, stderr } = await foldgate(
    ...[
      'plan',
      'checkpoints/tales-5m',
      '--rank',
      'late-middle',
      '--shrink',
      'both',
      '--remove',
      '0.4',
      '--json',
    ],
  );
  expect(code, stderr).toBe(0);
  const { method, layers, widths } = JSON.parse(stdout) as FoldPlan;
  expect(method).toBe('late-middle');
  expect(layers).toHaveLength(10);
  expect(widths).toHaveLength(10);
  expect(new Set(widths).size).toBeGreaterThan(1);
});

it('narrows MLPs to what flows behind patches', async () => {
  const { checkpoint, text } = await taleText(64);
  onTestFinished(() => checkpoint.close());
  const kept = [0, 1, 2, 3, 4, 8, 9, 10, 11];
  const layers = kept.map((source, block) => ({ source, block }));
  const widths = layers.map(() => 320);
  const plan: FoldPlan = {
    version: 1,
    ...{ checkpoint: checkpoint.name, checkpointLayers: 12, method: 'manual', layers, widths },
    ...{ patch: 'linear', weights: 'first', quantize: 'none' },
  };
  const heldOut = windowsFrom(text, 36);
  const fit = { ...text, windows: text.windows.slice(0, 36), targets: text.targets.slice(0, 36) };
  const work = async () => WorkFolder.open(await temporaryFolder(), plan);
  const stages = await makeStudent({ checkpoint, plan, fit, work: await work() });
  expect(stages.map(({ name }) => name)).toEqual(['checkpoint', 'layers removed', 'patched', 'narrowed']);

  const bare = plannedStudent(checkpoint, plan);
  const alone = await narrowStudent(bare, widths, fit.windows, keepNarrowed(await work()));
  const late = withPatches(alone, await fitPatches(checkpoint, alone, fit.windows));
  const nll = async (student: Student) => (await evaluateStudent(student, heldOut)).nll;
  expect(await nll(stages.at(-1)!.student)).toBeLessThan(await nll(late));
}, 60_000);
