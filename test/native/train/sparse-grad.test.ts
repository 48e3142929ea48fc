import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { UsageError } from '../../../artifact/errors.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { matrixShape } from '../../../compressor/graph/layer.ts';
import type { AdamWOptions, Parameter } from '../../../compressor/train/adamw.ts';
import { cure } from '../../../compressor/train/cure.ts';
import type { CureOptions } from '../../../compressor/train/cure-options.ts';
import { SparseGrad, sparseMatrices, sparseSize } from '../../../compressor/train/sparse-grad.ts';
import { maxDifference, picoPath } from '../../fixtures/pico.ts';
import { picoCure, picoData, picoStudent } from '../../fixtures/pico-cure.ts';
import { picoArchitecture, randomArray, seeded } from '../../fixtures/random-checkpoint.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const random = seeded(11);
const options: AdamWOptions = { betas: [0.8, 0.9], epsilon: 1e-6, weightDecay: 0.1, clipNorm: 2, threads: 1 };

function parameters(): Parameter[] {
  const matrices = [0, 1].flatMap((block) =>
    sparseMatrices.map((matrix): Parameter => {
      const [rows, columns] = matrixShape(picoArchitecture, matrix);
      const values = randomArray(rows * columns, random);
      return {
        name: `blocks.${block}.${matrix}`,
        values,
        gradient: zeros(values.length),
        kind: 'matrix',
        matrix,
      };
    }),
  );
  return [
    ...matrices,
    { name: 'norm', values: randomArray(64, random), gradient: zeros(64), kind: 'vector' },
  ];
}

const zeros = (length: number) => new Float32Array(length);
const fillRandom = (all: Parameter[]) => {
  for (const { gradient } of all) gradient.set(randomArray(gradient.length, random, 0.1));
};

/** In float64: left [a, n], right [n, b]. */
function product(
  left: ArrayLike<number>,
  right: ArrayLike<number>,
  a: number,
  n: number,
  b: number,
): Float64Array {
  const out = new Float64Array(a * b);
  for (let i = 0; i < a; i++)
    for (let k = 0; k < n; k++)
      for (let j = 0; j < b; j++) out[i * b + j]! += left[i * n + k]! * right[k * b + j]!;
  return out;
}

function transposed(matrix: ArrayLike<number>, rows: number, columns: number): Float64Array {
  return Float64Array.from(
    { length: rows * columns },
    (_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)]!,
  );
}

/** What a parameter's kept coordinates are, worked out from the saved arrays alone. */
function frame(optimizer: SparseGrad, { name, matrix }: Parameter) {
  const arrays = new Map(optimizer.arrays);
  const [rows, columns] = matrixShape(picoArchitecture, matrix!);
  const u = arrays.get(`basis.${matrix}.outputs`)!;
  const v = arrays.get(`basis.${matrix}.inputs`)!;
  const [r, c] = [u.length / rows, v.length / columns];
  const positions = [...arrays.get(`${name}.positions`)!];
  return {
    ...{ u, v, r, c, rows, columns, positions },
    coordinates: (m: ArrayLike<number>) =>
      product(product(u, m, r, rows, columns), transposed(v, c, columns), r, columns, c),
    matrixOf: (coordinates: ArrayLike<number>) =>
      product(product(transposed(u, r, rows), coordinates, rows, r, c), v, rows, c, columns),
  };
}

async function prepared(share: number) {
  const all = parameters();
  const optimizer = new SparseGrad(all, picoArchitecture, share, options);
  onTestFinished(() => optimizer[Symbol.dispose]());
  const before = all.map(({ values }) => values.slice());
  const seen: Float32Array[][] = [];
  const progress: number[] = [];
  await optimizer.prepare({
    gradients: async () => {
      fillRandom(all);
      seen.push(all.map(({ gradient }) => gradient.slice()));
    },
    onProgress: (done) => progress.push(done),
  });
  expect(all.map(({ values }) => values)).toEqual(before);
  expect(progress).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  return { all, optimizer, seen };
}

describe('SparseGrad', () => {
  it.each([1, 0.02])('is AdamW along the kept coordinates of its basis, a share of %d', async (share) => {
    const { all, optimizer } = await prepared(share);
    const matrices = all.slice(0, -1);
    const frames = matrices.map((parameter) => frame(optimizer, parameter));
    const first = all.map(({ values }) => Float64Array.from(values));
    const keptOf = (matrix: ArrayLike<number>, i: number) => {
      const found = frames[i]!.coordinates(matrix);
      return frames[i]!.positions.map((p) => found[p]!);
    };
    const state = matrices.map(({ values }, i) => ({
      mean: frames[i]!.positions.map(() => 0),
      square: frames[i]!.positions.map(() => 0),
      values: keptOf(values, i),
    }));
    const start = state.map(({ values }) => [...values]);
    const vector = { mean: zeros(64), square: zeros(64), values: Float64Array.from(all.at(-1)!.values) };
    for (let step = 1; step <= 5; step++) {
      fillRandom(all);
      const kept = matrices.map(({ gradient }, i) => keptOf(gradient, i));
      const norm = Math.hypot(...kept.flat(), ...all.at(-1)!.gradient);
      expect(optimizer.step(0.01) / norm).toBeCloseTo(1, 5);
      const scale = Math.min(1, 2 / norm);
      /** arXiv 1711.05101, algorithm 2. */
      const adamw = (
        {
          mean,
          square,
          values,
        }: Record<'mean' | 'square' | 'values', Float64Array | Float32Array | number[]>,
        gradient: ArrayLike<number>,
        rate: number,
        decay: number,
      ) => {
        for (let k = 0; k < values.length; k++) {
          const g = gradient[k]! * scale;
          mean[k] = 0.8 * mean[k]! + 0.2 * g;
          square[k] = 0.9 * square[k]! + 0.1 * g * g;
          const direction = mean[k]! / (1 - 0.8 ** step) / (Math.sqrt(square[k]! / (1 - 0.9 ** step)) + 1e-6);
          values[k] = values[k]! * (1 - rate * decay) - rate * direction;
        }
      };
      for (const [i, { values }] of matrices.entries()) {
        adamw(state[i]!, kept[i]!, 0.01 * Math.sqrt(values.length / kept[i]!.length), 0.1);
        const moved = new Float64Array(frames[i]!.r * frames[i]!.c);
        for (const [k, p] of frames[i]!.positions.entries()) moved[p] = state[i]!.values[k]! - start[i]![k]!;
        const wanted = frames[i]!.matrixOf(moved).map((change, k) => change + first[i]![k]!);
        expect(maxDifference(values, wanted)).toBeLessThan(2e-5);
      }
      adamw(vector, all.at(-1)!.gradient, 0.01, 0);
      expect(maxDifference(all.at(-1)!.values, vector.values)).toBeLessThan(2e-5);
    }
    expect(optimizer.steps).toBe(5);
    expect(maxDifference(matrices[0]!.values, first[0]!)).toBeGreaterThan(0.01);
  });

  it('has orthonormal directions, and keeps the coordinates that gradients were largest in', async () => {
    const { all, optimizer, seen } = await prepared(0.02);
    for (const [i, parameter] of all.slice(0, -1).entries()) {
      const { u, v, r, c, rows, columns, positions, coordinates } = frame(optimizer, parameter);
      expect([r, c]).toEqual([rows, columns].map((size) => Math.ceil(2 * Math.sqrt(0.02) * size)));
      for (const [directions, count, size] of [
        [u, r, rows],
        [v, c, columns],
      ] as const) {
        const products = product(directions, transposed(directions, count, size), count, size, count);
        const identity = products.map((_, k) => (k % (count + 1) === 0 ? 1 : 0));
        expect(maxDifference(products, identity)).toBeLessThan(1e-5);
      }
      const squares = new Float64Array(r * c);
      for (const gradients of seen.slice(4))
        for (const [k, value] of coordinates(gradients[i]!).entries()) squares[k]! += value ** 2;
      const order = [...squares.keys()].sort((a, b) => squares[b]! - squares[a]!);
      expect(positions).toHaveLength(Math.round(0.02 * 64 * 96));
      expect(positions).toEqual(order.slice(0, positions.length).sort((a, b) => a - b));
    }
  });

  it('finds the few directions that all gradients of a kind lie in', async () => {
    const all = parameters();
    const optimizer = new SparseGrad(all, picoArchitecture, 0.01, options);
    onTestFinished(() => optimizer[Symbol.dispose]());
    // Of rank 3, the same outputs and inputs in both blocks.
    const sides = new Map<string | undefined, Float32Array[]>(
      sparseMatrices.map((matrix) => [
        matrix,
        matrixShape(picoArchitecture, matrix).map((size) => randomArray(3 * size, random)),
      ]),
    );
    const gradients = async () => {
      for (const { matrix, gradient } of all.slice(0, -1)) {
        const [left, right] = sides.get(matrix)!;
        const [rows, columns] = matrixShape(picoArchitecture, matrix!);
        const mixed = product(randomArray(9, random), right!, 3, 3, columns);
        gradient.set(product(transposed(left!, 3, rows), mixed, rows, 3, columns));
      }
    };
    await optimizer.prepare({ gradients });
    await gradients();
    for (const parameter of all.slice(0, -1)) {
      const { coordinates, positions } = frame(optimizer, parameter);
      const squares = (values: Iterable<number>) =>
        [...values].reduce((sum, value) => sum + value * value, 0);
      const found = coordinates(parameter.gradient);
      const kept = squares(positions.map((p) => found[p]!));
      expect(kept / squares(parameter.gradient)).toBeCloseTo(1, 5);
    }
  });

  it('refuses to keep more coordinates than it chooses from', () => {
    const large = { ...picoArchitecture, width: 8192, intermediateSize: 28_672 };
    expect(sparseSize(large, 'down', 0.001)).toMatchObject({ corner: [512, 512], kept: 234_881 });
    expect(() => sparseSize(large, 'down', 0.01)).toThrow(
      /2348810 numbers, chosen from 262144: keep 0.0011 or/,
    );
    expect(() => sparseSize(large, 'down', 0.01)).toThrow(UsageError);
  });
});

async function curePico(changed: Partial<CureOptions> & Pick<CureOptions, 'data' | 'folder'>) {
  const checkpoint = await openCheckpoint(picoPath('llama'));
  onTestFinished(() => checkpoint.close());
  return cure(checkpoint, picoStudent(checkpoint), { ...picoCure, sparseGradients: 0.05, ...changed });
}

const stateOf = (folder: string) => readFile(join(folder, 'state.safetensors'));

describe('a cure by SparseGrad', () => {
  it('brings the student nearer to the checkpoint, its MLP matrices included', async () => {
    const data = [await picoData()];
    const cured = await curePico({ data, folder: await temporaryFolder(), tokens: 100 * 64 });
    expect(cured.after.divergence).toBeLessThan(0.6 * cured.before.divergence);
    const checkpoint = await openCheckpoint(picoPath('llama'));
    const before = await picoStudent(checkpoint).matrix(0, 'down');
    const after = await cured.student.matrix(0, 'down');
    await checkpoint.close();
    expect(maxDifference(before, after)).toBeGreaterThan(1e-3);
  });

  it.each([
    ['while it chooses gradients', { onPrepare: 3 }, 1],
    ['right after that', { onPrepare: 8 }, 1],
    ['between its steps', { onStep: 5 }, 6],
  ])('ends with the same bits when it is interrupted %s', async (_when, stopAt, goesOnWith) => {
    const data = [await picoData()];
    const [whole, broken] = [await temporaryFolder(), await temporaryFolder()];
    await curePico({ data, folder: whole });
    const stop = new AbortController();
    const stopIf = (isTime: boolean) => isTime && stop.abort(new Error('stopped'));
    const stopped = curePico({
      data,
      folder: broken,
      signal: stop.signal,
      onPrepare: (done) => stopIf('onPrepare' in stopAt && done === stopAt.onPrepare),
      onStep: ({ step }) => stopIf('onStep' in stopAt && step === stopAt.onStep),
    });
    await expect(stopped).rejects.toThrow('stopped');
    const steps: number[] = [];
    await curePico({ data, folder: broken, onStep: ({ step }) => steps.push(step) });
    expect(steps[0]).toBe(goesOnWith);
    expect((await stateOf(broken)).equals(await stateOf(whole))).toBe(true);
  });

  it('saves less than one by AdamW, and does not go on with its state', async () => {
    const data = [await picoData()];
    const [sparse, dense] = [await temporaryFolder(), await temporaryFolder()];
    await curePico({ data, folder: sparse, tokens: 64, sparseGradients: 0.01 });
    const checkpoint = await openCheckpoint(picoPath('llama'));
    onTestFinished(() => checkpoint.close());
    await cure(checkpoint, picoStudent(checkpoint), { ...picoCure, data, folder: dense, tokens: 64 });
    expect((await stateOf(sparse)).length).toBeLessThan(0.8 * (await stateOf(dense)).length);
    await expect(curePico({ data, folder: dense, tokens: 64 })).rejects.toThrow(/other: sparseGradients\)/);
  });
});
