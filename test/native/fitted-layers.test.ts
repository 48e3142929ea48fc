import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Checkpoint } from '../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { evaluateStudent, runStudent } from '../../compressor/evaluate/student.ts';
import type { FitError } from '../../compressor/patch/fit-layer.ts';
import { fitLayers, withFittedLayers } from '../../compressor/patch/fitted-student.ts';
import { plannedStudent, unfolded } from '../../compressor/student/planned-student.ts';
import type { Student } from '../../compressor/student/student.ts';
import { foldgate } from '../fixtures/command-line.ts';
import { foldInto } from '../fixtures/fold-into.ts';
import { picoFamilies, picoPath } from '../fixtures/pico.ts';
import { picoArchitecture, randomCheckpoint, seeded } from '../fixtures/random-checkpoint.ts';
import { taleText } from '../fixtures/tale-text.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { textOf } from '../fixtures/texts.ts';

const keep = (checkpoint: Checkpoint, ...sources: number[]): Student =>
  plannedStudent(checkpoint, {
    layers: sources.map((source, block) => ({ source, block })),
    weights: 'first',
  });

function randomWindows(count: number, length: number, vocabulary: number): Int32Array[] {
  const random = seeded(5);
  return Array.from({ length: count }, () =>
    Int32Array.from({ length }, () => Math.floor(random() * vocabulary)),
  );
}

/** Mean over tokens of |a - b|² / |b|², where b are the checkpoint's states before its layer `end`. */
async function distance(
  checkpoint: Checkpoint,
  student: Student,
  layers: number,
  end: number,
  windows: Int32Array[],
): Promise<number> {
  const [ours, theirs] = await Promise.all([
    runStudent({ ...student, layers: student.layers.slice(0, layers) }, windows),
    runStudent(keep(checkpoint, ...Array(end).keys()), windows),
  ]);
  const { width } = checkpoint.architecture;
  const shares = ours.flatMap((state, w) =>
    Array.from({ length: state.length / width }, (_, token) => {
      const [a, b] = [state, theirs[w]!].map((all) => [...all.subarray(token * width, (token + 1) * width)]);
      return Math.hypot(...a!.map((value, i) => value - b![i]!)) ** 2 / Math.hypot(...b!) ** 2;
    }),
  );
  return shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

describe('a layer that stands in for the removed ones after it', () => {
  it.each(picoFamilies)(
    'comes nearer to what they did together, on text it never saw: %s',
    async (family) => {
      const checkpoint = await openCheckpoint(picoPath(family));
      onTestFinished(() => checkpoint.close());
      const { vocabularySize, layers } = checkpoint.architecture;
      const windows = randomWindows(136, 24, vocabularySize);
      const [fit, other] = [windows.slice(0, 128), windows.slice(128)];
      const student = keep(checkpoint, ...[...layers.keys()].filter((layer) => layer !== 1));
      const fitted = withFittedLayers(student, await fitLayers(checkpoint, student, fit));
      const before = await distance(checkpoint, student, 1, 2, other);
      expect(await distance(checkpoint, fitted, 1, 2, other)).toBeLessThan(0.92 * before);
      // Its block is no longer the checkpoint's; the other layer is as it was.
      expect([fitted.unchanged(0), fitted.unchanged(1)]).toEqual([undefined, 2]);
      expect(await fitted.matrix(0, 'down')).toEqual((await fitted.block(0)).matrices.down);
      expect(await fitted.qkvBias(0)).toEqual((await fitted.block(0)).qkvBias);
      expect(await fitted.block(1)).toEqual(await student.block(1));
      expect(await fitted.own(1)).toEqual(await student.own(1));
    },
  );

  it('is measured on windows that it was not trained on, behind the layers trained before it', async () => {
    const deep = { ...picoArchitecture, layers: Array(8).fill(picoArchitecture.layers[0]!) };
    const checkpoint = randomCheckpoint(deep);
    const student = keep(checkpoint, 1, 4, 5); // nothing stands in for layer 0
    const windows = randomWindows(16, 20, 96);
    const found = new Map<number, FitError & { last: number }>();
    const fitted = await fitLayers(checkpoint, student, [...windows, Int32Array.of(1, 2, 3)], {
      onFitted: (index, last, error) => found.set(index, { last, ...error }),
    });
    expect([...fitted.keys()]).toEqual([0, 2]);
    expect([found.get(0)!.last, found.get(2)!.last]).toEqual([3, 7]);
    const heldOut = windows.slice(-2);
    const first = withFittedLayers(student, new Map([[0, fitted.get(0)!]]));
    for (const [index, end, before, after] of [
      [0, 4, student, first],
      [2, 8, first, withFittedLayers(student, fitted)],
    ] as const) {
      const error = found.get(index)!;
      expect(error.before).toBeCloseTo(await distance(checkpoint, before, index + 1, end, heldOut), 4);
      expect(error.after).toBeCloseTo(await distance(checkpoint, after, index + 1, end, heldOut), 4);
      expect(error.after).toBeLessThan(error.before);
    }
  });

  it('makes up for some of what the removal cost', async () => {
    const { checkpoint, text } = await taleText(96);
    onTestFinished(() => checkpoint.close());
    const student = keep(checkpoint, 0, 1, 2, 6, 7, 8, 9, 10, 11);
    const other = { windows: text.windows.slice(-3), targets: text.targets.slice(-3), tokens: 3 * 95 };
    const fitted = await fitLayers(checkpoint, student, text.windows.slice(0, -3));
    const without = await evaluateStudent(student, other);
    const replaced = await evaluateStudent(withFittedLayers(student, fitted), other);
    expect(replaced.nll).toBeLessThan(without.nll - 0.05);
  });

  it('gives the same bits every time, and needs one window', async () => {
    const checkpoint = randomCheckpoint();
    const [one, same] = [1, 2].map(() =>
      fitLayers(checkpoint, keep(checkpoint, 0, 3), randomWindows(1, 30, 96)),
    );
    expect(await one).toEqual(await same);
  });

  it('is none where nothing was removed, or the text is too short', async () => {
    const checkpoint = randomCheckpoint();
    const short = [Int32Array.of(1)];
    expect((await fitLayers(checkpoint, unfolded(checkpoint), short)).size).toBe(0);
    await expect(fitLayers(checkpoint, keep(checkpoint, 0, 3), short)).rejects.toThrow(/give a longer one/);
  });
});

describe('a fold whose plan has "patch": "block"', () => {
  const options = { scores: [4, 1, 2, 5], remove: 0.5, patch: 'block' as const };
  const windows = randomWindows(9, 24, 96);
  const fit = { windows, targets: windows, tokens: 9 * 23 };

  it('stores the layer that was trained', async () => {
    const checkpoint = randomCheckpoint();
    const text = textOf(randomWindows(2, 20, 96).map((window) => [...window]));
    const { result, manifest } = await foldInto(await temporaryFolder(), checkpoint, {
      ...options,
      fit,
      text,
    });
    const student = keep(checkpoint, 0, 3);
    const trained = withFittedLayers(student, await fitLayers(checkpoint, student, windows));
    expect(manifest.layers).toHaveLength(2);
    expect(manifest.weights.some(({ kind }) => kind === 'patches')).toBe(false);
    const { stage, perplexity } = result.quality.at(-1)!;
    expect(stage).toBe('layers replaced');
    expect(perplexity).toBeCloseTo((await evaluateStudent(trained, text)).perplexity, 2);
  });

  it('wants a text', async () => {
    await expect(foldInto(await temporaryFolder(), randomCheckpoint(), options)).rejects.toThrow(
      'The layers that stand in for others are fitted on a text',
    );
  });

  it.each([
    [
      'while the layer is trained',
      /^Fitting layer/,
      ['Reading hidden states', 'Fitting layer 0 to layers 0 to 2'],
    ],
    ['after that', /^Folding$/, []],
  ])('goes on where it was interrupted %s', async (_when, when, again) => {
    const checkpoint = randomCheckpoint({ ...picoArchitecture, qkvBias: true });
    const whole = await foldInto(await temporaryFolder(), checkpoint, { ...options, fit });
    const folder = await temporaryFolder();
    const abort = new AbortController();
    const onProgress = (step: string) => when.test(step) && abort.abort(new Error('interrupted'));
    const stopped = foldInto(folder, checkpoint, { ...options, fit, onProgress, signal: abort.signal });
    await expect(stopped).rejects.toThrow('interrupted');
    const steps = new Set<string>();
    const resumed = await foldInto(folder, checkpoint, {
      ...options,
      fit,
      onProgress: (step) => steps.add(step),
    });
    expect([...steps].filter((step) => /^(Reading|Fitting)/.test(step))).toEqual(again);
    expect(resumed.manifest.weights).toEqual(whole.manifest.weights);
  });
});

describe('foldgate fold --method streamline', () => {
  it('trains the first layer of the run in the place of all of it', async () => {
    const folder = await temporaryFolder();
    const calibration = join(folder, 'text.txt');
    await writeFile(calibration, 'Once upon a time there was a fox who lived in a wood. '.repeat(60));
    const args = ['--method', 'streamline', '--remove', '0.34', '--calibration', calibration];
    const { code, stdout, stderr } = await foldgate(
      ...['fold', picoPath('llama'), ...args, '--out', `file:${join(folder, 'models/x')}`, '--json'],
    );
    expect(stderr).toMatch(/ 0 .* block 0, trained to stand in for the layers after it\n/);
    expect(stderr).toMatch(/Layer 0 was trained to do what layers 0 to 1 did: .* by \d+\.\d% of/);
    expect(stderr).toContain('streamline ends with a cure on text');
    expect(code).toBe(0);
    const stages = (JSON.parse(stdout).quality as { stage: string }[]).map(({ stage }) => stage);
    expect(stages).toEqual(['checkpoint', 'layers removed', 'layers replaced', 'quantized']);
  });

  it('is refused where other layers run the block', async () => {
    const { code, stderr } = await foldgate(
      ...['plan', picoPath('llama'), '--method', 'streamline', '--remove', '0.34', '--refill', 'previous'],
    );
    expect(stderr).toContain('--patch block trains the layer before a cut by itself');
    expect(code).toBe(2);
  });
});
