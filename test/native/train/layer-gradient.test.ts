import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AdapterTensor, adapterShapes } from '../../../compressor/adapter/adapter.ts';
import { sizeOf } from '../../../compressor/autodiff/expression.ts';
import { architectureOfMatrices } from '../../../compressor/checkpoint/architecture.ts';
import type { Checkpoint } from '../../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { LayerRunner } from '../../../compressor/forward/layer-runner.ts';
import { blockMatrices, type LayerNorm, matrixShape } from '../../../compressor/graph/layer.ts';
import {
  activationLength,
  type LayerGradients,
  LayerTrainer,
} from '../../../compressor/train/layer-gradient.ts';
import {
  type BlockWeights,
  type NormWeights,
  readBlock,
  readLayer,
  readNorms,
} from '../../../compressor/weights/block.ts';
import type { OwnWeights } from '../../../compressor/weights/own.ts';
import { relativeDifference } from '../../fixtures/gradients/relative-difference.ts';
import { maxDifference, type picoFamilies, picoPath } from '../../fixtures/pico.ts';
import { randomArray, seeded } from '../../fixtures/random-checkpoint.ts';

/** What PyTorch answers (fixtures/gradients/make.py): a matrix's gradient as its products with two vectors. */
interface Golden {
  family: (typeof picoFamilies)[number];
  layer: number;
  hidden: number[];
  gate: number;
  matrices: Record<string, { timesColumns: number[]; rowsTimes: number[] }>;
  qkvBias: number[] | null;
  norms: Partial<Record<LayerNorm, number[]>>;
}

const goldens: { batch: number; tokens: number; gate: number; cases: Golden[] } = JSON.parse(
  await readFile(new URL('../../fixtures/gradients/layers.json', import.meta.url), 'utf8'),
);
const { batch, tokens, gate } = goldens;

/** The same layers with an adapter, whose arrays are those of seeds from 10 on. */
const adapted: {
  rank: number;
  cases: { family: Golden['family']; layer: number; hidden: number[]; adapter: Record<string, number[]> }[];
} = JSON.parse(await readFile(new URL('../../fixtures/gradients/adapters.json', import.meta.url), 'utf8'));

describe.each(goldens.cases)('layer $layer of $family', (golden) => {
  const { layer } = golden;
  let checkpoint: Checkpoint;
  let block: BlockWeights;
  let norms: NormWeights;
  let hidden: Float32Array;
  let gradOut: Float32Array;

  beforeAll(async () => {
    checkpoint = await openCheckpoint(picoPath(golden.family));
    block = await readBlock(checkpoint, [{ layer, factor: 1 }]);
    norms = await readNorms(checkpoint, layer);
    hidden = randomArray(batch * tokens * checkpoint.architecture.width, seeded(1), 2);
    gradOut = randomArray(hidden.length, seeded(2));
  });
  afterAll(() => checkpoint.close());

  const trainer = (trainable?: 'all' | 'norms' | 'gate') =>
    new LayerTrainer(
      checkpoint.architecture,
      { batch, tokens },
      { threads: 1, ...(trainable && { trainable }) },
    );

  it('computes what the runner of single layers computes, and keeps a share of it behind a gate', () => {
    const a = checkpoint.architecture;
    using runner = new LayerRunner(a, tokens, { threads: 1 });
    using trained = trainer();
    const length = tokens * a.width;
    const wanted = Array.from({ length: batch }, (_, i) =>
      runner.run(layer, block, norms, hidden.subarray(i * length, (i + 1) * length)),
    ).flatMap((out) => [...out]);
    expect(maxDifference(trained.forward(layer, block, norms, hidden), wanted)).toBeLessThan(1e-5);
    const kept = wanted.map((value, i) => hidden[i]! + gate * (value - hidden[i]!));
    expect(maxDifference(trained.forward(layer, block, norms, hidden, gate), kept)).toBeLessThan(1e-5);
    expect(trained.forward(layer, block, norms, hidden, 0)).toEqual(hidden);
  });

  it("gives PyTorch's gradients", () => {
    using trained = trainer();
    const into = zeros(block, norms);
    const back = trained.backward(layer, block, norms, hidden, gradOut, into, gate);
    expect(relativeDifference(back.hidden, golden.hidden)).toBeLessThan(tolerance);
    expect(Math.abs(back.gate / golden.gate - 1)).toBeLessThan(tolerance);
    expect(Object.keys(golden.matrices)).toEqual([...blockMatrices]);
    for (const matrix of blockMatrices) {
      const found = products(into.matrices[matrix]!, matrixShape(checkpoint.architecture, matrix));
      const { timesColumns, rowsTimes } = golden.matrices[matrix]!;
      expect(relativeDifference(found.timesColumns, timesColumns), matrix).toBeLessThan(tolerance);
      expect(relativeDifference(found.rowsTimes, rowsTimes), matrix).toBeLessThan(tolerance);
    }
    expect(Object.keys(golden.norms).sort()).toEqual(Object.keys(norms).sort());
    for (const [norm, wanted] of Object.entries(golden.norms)) {
      expect(relativeDifference(into.own[norm as LayerNorm]!, wanted), norm).toBeLessThan(tolerance);
    }
    expect(into.qkvBias === undefined).toBe(golden.qkvBias === null);
    if (golden.qkvBias) {
      expect(relativeDifference(into.qkvBias!, golden.qkvBias)).toBeLessThan(tolerance);
    }
  });

  it('adds to the gradients that are there, as layers of one block need', () => {
    using trained = trainer();
    const [once, twice] = [zeros(block, norms), zeros(block, norms)];
    trained.backward(layer, block, norms, hidden, gradOut, once);
    trained.backward(layer, block, norms, hidden, gradOut, twice);
    trained.backward(layer, block, norms, hidden, gradOut, twice);
    for (const [name, values] of named(twice)) {
      const wanted = named(once)
        .get(name)!
        .map((value) => 2 * value);
      expect(relativeDifference(values, wanted), name).toBeLessThan(1e-5);
    }
  });

  it('of a narrower MLP are those of the whole one whose other columns are zero', () => {
    const { width, intermediateSize } = checkpoint.architecture;
    const kept = Array.from({ length: intermediateSize / 2 }, (_, i) => 2 * i + (i % 2));
    const part = narrowed(block, width, kept);
    const down = new Float32Array(block.matrices.down!.length);
    for (const column of kept)
      for (let row = column; row < down.length; row += intermediateSize)
        down[row] = block.matrices.down![row]!;
    const padded = { ...block, matrices: { ...block.matrices, down } };
    for (const keeping of [false, true]) {
      using trained = trainer();
      const [into, wantedInto] = [zeros(part, norms), zeros(padded, norms)];
      const activations = (of: BlockWeights) =>
        keeping
          ? new Float32Array(
              activationLength(architectureOfMatrices(checkpoint.architecture, of.matrices), {
                batch,
                tokens,
              }),
            )
          : undefined;
      const [own, whole] = [activations(part), activations(padded)];
      const out = trained.forward(layer, part, norms, hidden, gate, own);
      const wantedOut = trained.forward(layer, padded, norms, hidden, gate, whole);
      expect(relativeDifference(out, wantedOut)).toBeLessThan(1e-5);
      const found = trained.backward(layer, part, norms, hidden, gradOut, into, gate, own);
      const wanted = trained.backward(layer, padded, norms, hidden, gradOut, wantedInto, gate, whole);
      expect(relativeDifference(found.hidden, wanted.hidden)).toBeLessThan(1e-4);
      expect(found.gate).toBeCloseTo(wanted.gate, 3);
      const wantedGradients = { ...wantedInto, ...narrowed(wantedInto, width, kept) };
      for (const [name, values] of named(into))
        expect(relativeDifference(values, named(wantedGradients).get(name)!), name).toBeLessThan(1e-4);
    }
  });

  it('gives the same from the activations that the way forward kept', () => {
    for (const trainable of ['all', 'norms', 'gate'] as const) {
      using trained = trainer(trainable);
      const activations = new Float32Array(activationLength(checkpoint.architecture, { batch, tokens })).fill(
        Number.NaN,
      );
      const [wantedInto, into] = [zeros(block, norms), zeros(block, norms)];
      const out = trained.forward(layer, block, norms, hidden, gate, activations);
      expect(out).toEqual(trained.forward(layer, block, norms, hidden, gate));
      const wanted = trained.backward(layer, block, norms, hidden, gradOut, wantedInto, gate);
      const found = trained.backward(layer, block, norms, hidden, gradOut, into, gate, activations);
      expect(relativeDifference(found.hidden, wanted.hidden)).toBeLessThan(1e-5);
      expect(found.gate).toBeCloseTo(wanted.gate, 3);
      for (const [name, values] of named(into)) {
        expect(maxDifference(values, named(wantedInto).get(name)!), name).toBeLessThan(1e-3);
      }
      // They are what it computes from: others give another answer.
      activations.fill(0);
      const other = trained.backward(layer, block, norms, hidden, gradOut, into, gate, activations);
      expect(relativeDifference(other.hidden, wanted.hidden)).toBeGreaterThan(0.01);
    }
  });

  it('leaves alone what is not trained, and gives the same for the rest', () => {
    using all = trainer();
    const whole = zeros(block, norms);
    const wanted = all.backward(layer, block, norms, hidden, gradOut, whole, gate);
    for (const trainable of ['norms', 'gate'] as const) {
      using trained = trainer(trainable);
      const into = zeros(block, norms);
      const found = trained.backward(layer, block, norms, hidden, gradOut, into, gate);
      expect(relativeDifference(found.hidden, wanted.hidden)).toBeLessThan(1e-5);
      expect(found.gate).toBeCloseTo(wanted.gate, 3);
      for (const [name, values] of named(into)) {
        const isTrained = trainable === 'norms' && name in norms;
        if (isTrained) expect(relativeDifference(values, named(whole).get(name)!), name).toBeLessThan(1e-5);
        else
          expect(
            values.every((value) => value === 0),
            name,
          ).toBe(true);
      }
    }
    const none = all.backward(layer, block, norms, hidden, gradOut, undefined, gate);
    expect(relativeDifference(none.hidden, wanted.hidden)).toBeLessThan(1e-5);
  });
});

describe.each(adapted.cases)('layer $layer of $family with an adapter', (golden) => {
  const { layer } = golden;

  it("gives PyTorch's gradients, and adds nothing to what is not trained", async () => {
    const checkpoint = await openCheckpoint(picoPath(golden.family));
    const a = checkpoint.architecture;
    const { block, norms } = await readLayer(checkpoint, layer);
    await checkpoint.close();
    const shapes = Object.entries(adapterShapes(a, { gains: true, rank: adapted.rank }));
    const adapter = Object.fromEntries(
      shapes.map(([name, shape], i) => [name, randomArray(sizeOf(shape), seeded(10 + i), 0.5)]),
    );
    const own: OwnWeights = { ...norms, ...adapter };
    const hidden = randomArray(batch * tokens * a.width, seeded(1), 2);
    const gradOut = randomArray(hidden.length, seeded(2));

    using runner = new LayerRunner(a, tokens, { threads: 1 });
    const length = tokens * a.width;
    const wanted = Array.from({ length: batch }, (_, i) =>
      runner.run(layer, block, own, hidden.subarray(i * length, (i + 1) * length)),
    ).flatMap((out) => [...out]);

    for (const trainable of ['all', 'adapters', 'norms'] as const) {
      using trained = new LayerTrainer(a, { batch, tokens }, { threads: 1, trainable });
      expect(maxDifference(trained.forward(layer, block, own, hidden), wanted)).toBeLessThan(1e-4);
      const activations = new Float32Array(activationLength(a, { batch, tokens }));
      trained.forward(layer, block, own, hidden, gate, activations);
      for (const kept of [undefined, activations]) {
        const into = zeros(block, own);
        const back = trained.backward(layer, block, own, hidden, gradOut, into, gate, kept);
        expect(relativeDifference(back.hidden, golden.hidden)).toBeLessThan(tolerance);
        expect(Object.keys(golden.adapter)).toEqual(Object.keys(adapter));
        for (const [name, gradient] of Object.entries(golden.adapter)) {
          const found = into.own[name as AdapterTensor]!;
          if (trainable !== 'norms')
            expect(relativeDifference(found, gradient), name).toBeLessThan(tolerance);
          else expect(found.every((value) => value === 0)).toBe(true);
        }
        expect(into.matrices.qkv!.some((value) => value !== 0)).toBe(trainable === 'all');
        expect(into.own['mlp.norm']!.some((value) => value !== 0)).toBe(true);
      }
    }
  });
});

/** Of float32 against float64, relative to an array's largest number. */
const tolerance = 1e-4;

/** Some columns of a block's MLP alone, or of its gradients. */
function narrowed({ matrices, ...rest }: BlockWeights, width: number, kept: number[]): BlockWeights {
  const { gate, up, down: columns } = matrices as Record<'gate' | 'up' | 'down', Float32Array>;
  const size = gate.length / width;
  const rows = (matrix: Float32Array) =>
    Float32Array.from(
      { length: kept.length * width },
      (_, i) => matrix[kept[Math.floor(i / width)]! * width + (i % width)]!,
    );
  const down = Float32Array.from(
    { length: width * kept.length },
    (_, i) => columns[Math.floor(i / kept.length) * size + kept[i % kept.length]!]!,
  );
  const { qkvBias } = rest;
  return {
    matrices: { ...matrices, gate: rows(gate), up: rows(up), down },
    ...(qkvBias && { qkvBias }),
  };
}

function zeros({ matrices, qkvBias }: BlockWeights, norms: OwnWeights): LayerGradients {
  const like = <T extends Record<string, Float32Array>>(arrays: T) =>
    Object.fromEntries(
      Object.entries(arrays).map(([name, { length }]) => [name, new Float32Array(length)]),
    ) as T;
  return {
    matrices: like(matrices),
    own: like(norms as Record<string, Float32Array>),
    ...(qkvBias && { qkvBias: new Float32Array(qkvBias.length) }),
  };
}

function named({ matrices, qkvBias, own }: LayerGradients): Map<string, Float32Array> {
  return new Map(Object.entries({ ...matrices, ...own, ...(qkvBias && { qkvBias }) }));
}

/** The products of a matrix with the random vectors of make.py, in double precision. */
function products(matrix: Float32Array, [rows, columns]: [number, number]) {
  const [right, left] = [randomArray(columns, seeded(3)), randomArray(rows, seeded(4))];
  const timesColumns = new Float64Array(rows);
  const rowsTimes = new Float64Array(columns);
  matrix.forEach((value, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    timesColumns[row]! += value * right[column]!;
    rowsTimes[column]! += value * left[row]!;
  });
  return { timesColumns, rowsTimes };
}
