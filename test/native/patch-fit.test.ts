import { describe, expect, it } from 'vitest';
import { evaluateStudent } from '../../compressor/evaluate/student.ts';
import { cutsOf } from '../../compressor/patch/cuts.ts';
import { fitPatch } from '../../compressor/patch/fit.ts';
import { fitPatches, withPatches } from '../../compressor/patch/patch-student.ts';
import { solveRidge } from '../../compressor/patch/ridge.ts';
import { plannedStudent, unfolded } from '../../compressor/student/planned-student.ts';
import { foldInto } from '../fixtures/fold-into.ts';
import { randomCheckpoint } from '../fixtures/random-checkpoint.ts';
import { taleText } from '../fixtures/tale-text.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

let state = 3;
const random = () => {
  state = (state * 48271) % 2147483647;
  return state / 2147483647 - 0.5;
};
const numbers = (length: number) => Float32Array.from({ length }, random);

describe('solveRidge', () => {
  it('solves the normal equations it is given', () => {
    const [size, columns] = [7, 3];
    const factor = Float64Array.from({ length: size * size }, random);
    const gram = new Float64Array(size * size);
    for (let i = 0; i < size; i++)
      for (let j = 0; j < size; j++)
        for (let k = 0; k < size; k++) gram[i * size + j]! += factor[i * size + k]! * factor[j * size + k]!;
    const right = Float64Array.from({ length: size * columns }, random);
    const x = solveRidge(gram, right, size, columns, 0.01);
    let trace = 0;
    for (let i = 0; i < size; i++) trace += gram[i * size + i]!;
    for (let i = 0; i < size; i++) {
      for (let c = 0; c < columns; c++) {
        let sum = (0.01 * trace * x[i * columns + c]!) / size;
        for (let j = 0; j < size; j++) sum += gram[i * size + j]! * x[j * columns + c]!;
        expect(sum).toBeCloseTo(right[i * columns + c]!, 9);
      }
    }
  });

  it('says so where the ridge is too small', () => {
    expect(() => solveRidge(new Float64Array(4), new Float64Array(2), 2, 1, 0)).toThrow(/ridge/);
  });
});

it('a patch finds the linear map that made its targets', () => {
  const width = 12;
  const [weight, bias] = [numbers(width * width), numbers(width)];
  const states = [numbers(40 * width), numbers(25 * width)];
  const targets = states.map((rows) =>
    rows.map((value, i) => {
      const row = i - (i % width);
      let out = value + bias[i - row]!;
      for (let input = 0; input < width; input++)
        out += weight[(i - row) * width + input]! * rows[row + input]!;
      return out;
    }),
  );
  const patch = fitPatch(width, states, targets);
  // The ridge pulls the solution a little towards zero.
  for (const [i, value] of patch.weight.entries()) expect(Math.abs(value - weight[i]!)).toBeLessThan(5e-3);
  for (const [i, value] of patch.bias.entries()) expect(Math.abs(value - bias[i]!)).toBeLessThan(5e-3);
});

it('finds the cuts, the end of the model included', () => {
  const layers = (...sources: number[]) => sources.map((source, block) => ({ source, block }));
  expect(cutsOf(layers(0, 1, 2, 3), 4)).toEqual([]);
  expect(cutsOf(layers(0, 3), 4)).toEqual([0]);
  expect(cutsOf(layers(1, 2, 4), 7)).toEqual([1, 2]);
});

describe('a student with layers removed', () => {
  it('comes closer to the checkpoint by patches, also on other text', async () => {
    const { checkpoint, text } = await taleText(96);
    const plan = { layers: [0, 1, 4, 5, 6, 9, 10, 11].map((source, block) => ({ source, block })) };
    const student = plannedStudent(checkpoint, { ...plan, weights: 'first' });
    const fitted = { ...text, windows: text.windows.slice(0, -3) };
    const other = { windows: text.windows.slice(-3), targets: text.targets.slice(-3), tokens: 3 * 95 };
    const patched = withPatches(student, await fitPatches(checkpoint, student, fitted.windows));
    const without = await evaluateStudent(student, other);
    expect((await evaluateStudent(patched, other)).nll).toBeLessThan(without.nll - 0.05);
    for (const layer of [1, 4]) expect(await patched.patch(layer)).toBeDefined();
    for (const layer of [0, 2, 7]) expect(await patched.patch(layer)).toBeUndefined();
    await checkpoint.close();
  });

  it('stays as it is where nothing was removed', async () => {
    const windows = [Int32Array.of(1, 2, 3, 4)];
    const checkpoint = randomCheckpoint();
    expect((await fitPatches(checkpoint, unfolded(checkpoint), windows)).size).toBe(0);
  });

  it('keeps its patches where the fold is interrupted', async () => {
    const checkpoint = randomCheckpoint();
    const windows = [Int32Array.from({ length: 90 }, (_, i) => (i * 37 + 5) % 96)];
    const fit = { windows, targets: windows, tokens: 90 };
    const steps: string[] = [];
    const run = (folder: string, signal?: AbortSignal, onBlock?: () => void) =>
      foldInto(folder, checkpoint, {
        scores: [4, 1, 2, 3],
        remove: 0.5,
        patch: 'linear',
        fit,
        onProgress(step) {
          steps.push(step);
          if (step === 'Folding') onBlock?.();
        },
        ...(signal && { signal }),
      });
    const whole = await run(await temporaryFolder());
    const folder = await temporaryFolder();
    const abort = new AbortController();
    const stopped = run(folder, abort.signal, () => abort.abort(new Error('interrupted')));
    await expect(stopped).rejects.toThrow('interrupted');
    expect(steps).toContain('Fitting patches');
    steps.length = 0;
    const again = await run(folder);
    expect(steps).not.toContain('Fitting patches');
    expect(again.result.resumedSteps).toBe(2); // the patches and a block
    expect(again.manifest.weights).toEqual(whole.manifest.weights);
  });
});
