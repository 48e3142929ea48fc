import { describe, expect, it } from 'vitest';
import type { Precision } from '../../artifact/manifest.ts';
import type { Checkpoint } from '../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { embed } from '../../compressor/forward/embed.ts';
import { distinctInputs, LayerRunner, type MatrixInputs } from '../../compressor/forward/layer-runner.ts';
import { blockMatrices, matrixShape } from '../../compressor/graph/layer.ts';
import { type BlockCodes, NearestQuantizer } from '../../compressor/quantize/block-quantizer.ts';
import { dequantize } from '../../compressor/quantize/blocks.ts';
import { CalibratedQuantizer } from '../../compressor/quantize/calibrate.ts';
import { feedbackOf } from '../../compressor/quantize/feedback.ts';
import { Gptq } from '../../compressor/quantize/gptq.ts';
import { Hessian } from '../../compressor/quantize/hessian.ts';
import { plannedStudent } from '../../compressor/student/planned-student.ts';
import { blocksInOrder, type Student } from '../../compressor/student/student.ts';
import { TrainedWeights } from '../../compressor/train/trained-weights.ts';
import type { BlockWeights } from '../../compressor/weights/block.ts';
import { golden, maxDifference, picoPath } from '../fixtures/pico.ts';
import { picoArchitecture, randomArray, randomCheckpoint, seeded } from '../fixtures/random-checkpoint.ts';

const windows = [17, 40, 33].map((length, seed) => {
  const random = seeded(seed);
  return Int32Array.from({ length }, () => Math.floor(random() * picoArchitecture.vocabularySize));
});

const int4 = (): Precision => ({ bits: 4, blockSize: 32 });

/** Asks for all blocks in order, each seeing what was written before it. */
async function quantizeAll(
  checkpoint: Checkpoint,
  student: Student,
  precision: (block: number, matrix: string) => Precision = int4,
  written = new Map<number, BlockCodes>(),
): Promise<Map<number, BlockCodes>> {
  const all = new Map(written);
  using quantizer = new CalibratedQuantizer({
    student,
    windows,
    precision,
    nearest: new NearestQuantizer(checkpoint, student, precision),
    written: async (block) => all.get(block),
    damping: 0.01,
    scales: [1],
  });
  for (const block of blocksInOrder(student)) {
    if (!all.has(block)) all.set(block, await quantizer.quantize(block));
  }
  return all;
}

/** A pass through the layers written out by hand: states before each of them, and the inputs of one's matrices. */
async function runByHand(student: Student, weightsOf: (block: number) => Promise<BlockWeights>) {
  using runner = new LayerRunner(student.architecture, 40);
  const inputs: MatrixInputs[][] = [];
  let states = await embed(student, windows);
  for (const [index, { source, block }] of student.layers.entries()) {
    const weights = await weightsOf(block);
    const norms = await student.own(index);
    const tapped = states.map((state) => runner.runTapped(source, weights, norms, state));
    inputs.push(tapped.map((one) => one.inputs));
    states = tapped.map((one) => one.out);
  }
  return inputs;
}

/** GPTQ of a block on inputs given by hand. */
async function fitByHand(student: Student, block: number, inputs: MatrixInputs[]): Promise<BlockCodes> {
  const codes: BlockCodes = {};
  using gptq = new Gptq();
  for (const matrix of blockMatrices) {
    const shape = matrixShape(student.architecture, matrix);
    using hessian = new Hessian(shape[1]);
    for (const one of inputs) hessian.add(one[matrix === 'up' ? 'gate' : matrix]!);
    hessian.flush();
    const feedback = feedbackOf(hessian.values, shape[1], 0.01);
    codes[matrix] = gptq.quantize(await student.matrix(block, matrix), shape, 4, 32, feedback);
  }
  return codes;
}

async function dequantized(student: Student, block: number, codes: BlockCodes): Promise<BlockWeights> {
  const weights = await student.block(block);
  for (const matrix of blockMatrices) {
    const inputs = matrixShape(student.architecture, matrix)[1];
    if (codes[matrix]) weights.matrices[matrix] = dequantize(codes[matrix], inputs);
  }
  return weights;
}

describe('a tapped layer', () => {
  it('gives what each matrix was multiplied with, and the same result', async () => {
    const checkpoint = randomCheckpoint();
    const student = plannedStudent(checkpoint, { layers: [{ source: 0, block: 0 }], weights: 'first' });
    const { width, intermediateSize, heads, headSize, normEpsilon } = picoArchitecture;
    const tokens = 3;
    const hidden = randomArray(tokens * width, seeded(1));
    const block = await student.block(0);
    const norms = await student.own(0);
    using runner = new LayerRunner(picoArchitecture, tokens);
    const { out, inputs } = runner.runTapped(0, block, norms, hidden);
    expect([...runner.run(0, block, norms, hidden)]).toEqual([...out]);

    const norm = (x: Float32Array, gamma: Float32Array) =>
      x.map((value, i) => {
        const row = x.subarray(i - (i % width), i - (i % width) + width);
        const square = row.reduce((sum, one) => sum + one * one, 0) / width;
        return (value / Math.sqrt(square + normEpsilon)) * gamma[i % width]!;
      });
    const product = (x: Float32Array, weights: Float32Array, size: number) => {
      const outputs = weights.length / size;
      return Float32Array.from({ length: tokens * outputs }, (_, i) => {
        const [token, row] = [Math.floor(i / outputs), i % outputs];
        let sum = 0;
        for (let j = 0; j < size; j++) sum += x[token * size + j]! * weights[row * size + j]!;
        return sum;
      });
    };
    const add = (x: Float32Array, y: Float32Array) => x.map((value, i) => value + y[i]!);
    const { matrices } = block;
    expect(maxDifference(inputs.qkv!, norm(hidden, norms['attention.norm']!))).toBeLessThan(1e-4);
    const middle = add(hidden, product(inputs.output!, matrices.output!, heads * headSize));
    expect(maxDifference(inputs.gate!, norm(middle, norms['mlp.norm']!))).toBeLessThan(1e-4);
    const up = product(inputs.gate!, matrices.up!, width);
    const gated = product(inputs.gate!, matrices.gate!, width).map(
      (x, i) => (x / (1 + Math.exp(-x))) * up[i]!,
    );
    expect(maxDifference(inputs.down!, gated)).toBeLessThan(1e-4);
    const end = add(middle, product(inputs.down!, matrices.down!, intermediateSize));
    expect(maxDifference(out, end)).toBeLessThan(1e-4);
  });
});

describe('calibrated blocks', () => {
  it('are fitted to what flows through them behind the quantized blocks before', async () => {
    const checkpoint = randomCheckpoint();
    const layers = [0, 1, 2].map((source) => ({ source, block: source }));
    const student = plannedStudent(checkpoint, { layers, weights: 'first' });
    const all = await quantizeAll(checkpoint, student);
    for (const block of [0, 1, 2]) {
      const weightsOf = (one: number) =>
        one < block ? dequantized(student, one, all.get(one)!) : student.block(one);
      const inputs = await runByHand(student, weightsOf);
      expect(all.get(block)).toEqual(await fitByHand(student, block, inputs[block]!));
    }
  });

  it.each([
    [0, 0, 1, 1],
    [0, 1, 0, 2], // block 1 runs in between, not yet quantized
    [1, 0, 1, 0], // numbered otherwise than they run
  ])('of layers that run blocks %i %i %i %i add up the inputs of all their layers', async (...blocks) => {
    const checkpoint = randomCheckpoint();
    const layers = blocks.map((block, source) => ({ source, block }));
    const student = plannedStudent(checkpoint, { layers, weights: 'first' });
    const all = await quantizeAll(checkpoint, student);
    const done: number[] = [];
    for (const block of blocksInOrder(student)) {
      const weightsOf = (one: number) =>
        done.includes(one) ? dequantized(student, one, all.get(one)!) : student.block(one);
      const inputs = await runByHand(student, weightsOf);
      const own = inputs.filter((_, index) => blocks[index] === block);
      expect(own.length).toBe(blocks.filter((one) => one === block).length);
      expect(all.get(block)).toEqual(await fitByHand(student, block, own.flat()));
      done.push(block);
    }
  });

  it('go on from what an interrupted run has written', async () => {
    const checkpoint = randomCheckpoint();
    const layers = [0, 1, 2, 3].map((source) => ({ source, block: source }));
    const student = plannedStudent(checkpoint, { layers, weights: 'first' });
    const all = await quantizeAll(checkpoint, student);
    const written = new Map([...all].slice(0, 2));
    expect(await quantizeAll(checkpoint, student, int4, written)).toEqual(all);
  });

  it('are fitted in int4 alone', async () => {
    const checkpoint = randomCheckpoint();
    const student = plannedStudent(checkpoint, { layers: [{ source: 0, block: 0 }], weights: 'first' });
    const precision = (_: number, matrix: string): Precision =>
      matrix === 'down' ? { bits: 8, blockSize: 32 } : matrix === 'up' ? { bits: 32 } : int4();
    const codes = (await quantizeAll(checkpoint, student, precision)).get(0)!;
    const nearest = await new NearestQuantizer(checkpoint, student, precision).quantize(0);
    expect(codes.up).toBeUndefined();
    expect(codes.down).toEqual(nearest.down);
    expect(codes.gate).not.toEqual(nearest.gate);
    expect(codes.gate).toEqual((await quantizeAll(checkpoint, student)).get(0)!.gate);
  });

  it("keep a checkpoint's own codes", async () => {
    const checkpoint = await openCheckpoint(picoPath('llama-q4_0.gguf'));
    const { tokens } = await golden('llama-q4_0.gguf');
    const student = plannedStudent(checkpoint, { layers: [{ source: 0, block: 0 }], weights: 'first' });
    const nearest = new NearestQuantizer(checkpoint, student, int4);
    using quantizer = new CalibratedQuantizer({
      student,
      windows: [Int32Array.from(tokens)],
      precision: int4,
      nearest,
      written: async () => undefined,
    });
    const own = await nearest.own(0);
    expect(Object.keys(own).sort()).toEqual([...blockMatrices].sort());
    expect(await quantizer.quantize(0)).toEqual(own);
    await checkpoint.close();
  });

  it('stop when told to', async () => {
    const checkpoint = randomCheckpoint();
    const student = plannedStudent(checkpoint, { layers: [{ source: 0, block: 0 }], weights: 'first' });
    const abort = new AbortController();
    using quantizer = new CalibratedQuantizer({
      student,
      windows,
      precision: int4,
      nearest: new NearestQuantizer(checkpoint, student, int4),
      written: async () => undefined,
      signal: abort.signal,
    });
    abort.abort(new Error('told to'));
    await expect(quantizer.quantize(0)).rejects.toThrow('told to');
  });

  it('leaves the weights of a student that gives its own as they are', async () => {
    const checkpoint = randomCheckpoint();
    const layers = [0, 1, 2].map((source) => ({ source, block: source }));
    const trained = await TrainedWeights.read(
      plannedStudent(checkpoint, { layers, weights: 'first' }),
      'all',
    );
    const before = trained.blocks.map(({ matrices }) => ({ ...matrices }));
    await quantizeAll(checkpoint, trained.asStudent());
    for (const [block, { matrices }] of trained.blocks.entries())
      for (const matrix of blockMatrices) expect(matrices[matrix]).toBe(before[block]![matrix]);
  });
});

it('every distinct input has a matrix of its own', () => {
  expect(blockMatrices.filter((matrix) => !distinctInputs.some((input) => input === matrix))).toEqual(['up']);
});
