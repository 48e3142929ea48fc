import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import type { Precision } from '../../artifact/manifest.ts';
import type { AdapterTensor } from '../../compressor/adapter/adapter.ts';
import { adapterShapes } from '../../compressor/adapter/adapter.ts';
import type { Architecture } from '../../compressor/checkpoint/architecture.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { embed } from '../../compressor/forward/embed.ts';
import { distinctInputs, LayerRunner } from '../../compressor/forward/layer-runner.ts';
import { blockMatrices, matrixShape } from '../../compressor/graph/layer.ts';
import { Awq } from '../../compressor/quantize/awq.ts';
import { inputOf } from '../../compressor/quantize/block-inputs.ts';
import { NearestQuantizer } from '../../compressor/quantize/block-quantizer.ts';
import { dequantize } from '../../compressor/quantize/blocks.ts';
import { findScales } from '../../compressor/quantize/find-scales.ts';
import { Hessian } from '../../compressor/quantize/hessian.ts';
import { type ChannelScales, scaledStudent } from '../../compressor/quantize/scaled-student.ts';
import { plannedStudent } from '../../compressor/student/planned-student.ts';
import type { Student } from '../../compressor/student/student.ts';
import { maxDifference, picoPath } from '../fixtures/pico.ts';
import { picoArchitecture, randomArray, randomCheckpoint, seeded } from '../fixtures/random-checkpoint.ts';

interface Golden {
  blockSize: number;
  rows: number[];
  inputs: number;
  x: string;
  weights: string[];
  power: number;
  scales: number[];
  costs: number[];
}

/** What an implementation of the paper's own form in PyTorch gives. */
const goldens: Golden[] = JSON.parse(
  await readFile(new URL('../fixtures/awq/golden.json', import.meta.url), 'utf8'),
);

const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, 'base64')).buffer;

const windows = [17, 40].map((length, seed) => {
  const random = seeded(seed);
  return Int32Array.from({ length }, () => Math.floor(random() * picoArchitecture.vocabularySize));
});
const int4 = (): Precision => ({ bits: 4, blockSize: 32 });

/** Hidden states behind all layers. */
async function statesOf(student: Student): Promise<Float32Array> {
  using runner = new LayerRunner(student.architecture, 40);
  let [state] = (await embed(student, windows.slice(1))) as [Float32Array];
  for (const [index, { source, block }] of student.layers.entries())
    state = runner.run(source, await student.block(block), await student.own(index), state);
  return state;
}

/** Seeded scales of every input, alike for the heads that read one value head. */
function randomScales(a: Architecture, seed: number): ChannelScales {
  const random = seeded(seed);
  const queries = a.heads / a.kvHeads;
  const values = randomArray(a.kvHeads * a.headSize, random, 0.9, 1.1);
  return {
    qkv: randomArray(a.width, random, 0.9, 1.1),
    gate: randomArray(a.width, random, 0.9, 1.1),
    down: randomArray(a.intermediateSize, random, 0.9, 1.1),
    output: Float32Array.from({ length: a.heads * a.headSize }, (_, i) => {
      const [head, channel] = [Math.floor(i / a.headSize), i % a.headSize];
      return values[Math.floor(head / queries) * a.headSize + channel]!;
    }),
  };
}

/** A student of which every second layer has gains and low-rank matrices of its own. */
function adapted(student: Student): Student {
  const shapes = adapterShapes(student.architecture, { gains: true, rank: 3 });
  return {
    ...student,
    async own(index) {
      const own = await student.own(index);
      if (index % 2 === 0) return own;
      const random = seeded(index);
      const adapter = Object.entries(shapes).map(([name, shape]): [AdapterTensor, Float32Array] => [
        name as AdapterTensor,
        randomArray(
          shape.reduce((size, n) => size * n, 1),
          random,
          0.2,
        ),
      ]);
      return { ...own, ...Object.fromEntries(adapter) };
    },
  };
}

describe('AWQ', () => {
  it.each(goldens)('chooses the scales of PyTorch, blocks of $blockSize', (golden) => {
    using hessian = new Hessian(golden.inputs);
    hessian.add(Float32Array.from(new Int8Array(bytesOf(golden.x))));
    hessian.flush();
    const matrices = golden.weights.map((weights, i) => ({
      weights: Float32Array.from(new Int16Array(bytesOf(weights)), (value) => value / 4096),
      shape: [golden.rows[i]!, golden.inputs] as const,
      bits: 4 as const,
      blockSize: golden.blockSize,
    }));
    using awq = new Awq();
    const { power, scales, costs } = awq.choose(matrices, hessian);
    expect(power).toBe(golden.power);
    scales.forEach((scale, i) => {
      expect(scale / golden.scales[i]!).toBeCloseTo(1, 4);
    });
    // A code that lies between two may fall either way in float32: costs agree to a hundredth.
    costs.forEach((cost, i) => {
      expect(cost / golden.costs[i]!).toBeCloseTo(1, 2);
    });
    expect(golden.power).toBeGreaterThan(0);
  });

  it('leaves inputs that are never anything but zero alone', () => {
    const [rows, inputs] = [4, 64];
    using hessian = new Hessian(inputs);
    hessian.add(new Float32Array(3 * inputs));
    hessian.flush();
    const matrix = { weights: randomArray(rows * inputs, seeded(1)), shape: [rows, inputs] as const };
    using awq = new Awq();
    const { scales } = awq.choose([{ ...matrix, bits: 4, blockSize: 32 }], hessian);
    expect([...scales]).toEqual(new Array(inputs).fill(1));
  });
});

describe('a scaled student', () => {
  it.each<[string, Partial<Architecture>]>([
    ['two query heads a value head', {}],
    ['as many value heads', { kvHeads: 4 }],
    ['biases', { qkvBias: true }],
    ['norms of q and k', { qkNorm: true }],
    ['norms behind its halves', { postNorms: true }],
  ])('computes what it did, with %s', async (_, change) => {
    const a = { ...picoArchitecture, ...change };
    // Blocks that layers share, one after the other and with another in between.
    const layers = [0, 1, 1, 0].map((block, source) => ({ source, block }));
    const student = adapted(plannedStudent(randomCheckpoint(a), { layers, weights: 'first' }));
    const scales = new Map([0, 1].map((block) => [block, randomScales(a, block)]));
    const scaled = scaledStudent(student, scales);
    const before = await statesOf(student);
    const size = before.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(maxDifference(before, await statesOf(scaled))).toBeLessThan(1e-4 * size);
    for (const matrix of blockMatrices) {
      const one = await scaled.matrix(1, matrix);
      expect(one).toEqual((await scaled.block(1)).matrices[matrix]);
      expect(one).not.toEqual(await student.matrix(1, matrix));
    }
    expect(scaled.unchanged(0)).toBeUndefined();
  });
});

describe('the scales of a model', () => {
  it('are chosen on what flows through all layers of a block, behind the rounded ones before', async () => {
    const checkpoint = randomCheckpoint();
    const { architecture: a } = checkpoint;
    const layers = [0, 1, 0, 2].map((block, source) => ({ source, block }));
    const student = plannedStudent(checkpoint, { layers, weights: 'first' });
    const scales = await findScales({ checkpoint, student, windows, precision: int4 });
    expect([...scales.keys()]).toEqual([0, 1, 2]);

    // By hand, for block 2: blocks 0 and 1 are rounded.
    const scaled = scaledStudent(student, scales);
    const nearest = new NearestQuantizer(checkpoint, scaled, int4);
    using runner = new LayerRunner(a, 40);
    let states = await embed(student, windows);
    for (const index of [0, 1, 2]) {
      const { source, block } = layers[index]!;
      const weights = await scaled.block(block);
      const codes = await nearest.quantize(block);
      for (const matrix of blockMatrices)
        weights.matrices[matrix] = dequantize(codes[matrix]!, matrixShape(a, matrix)[1]);
      const own = await scaled.own(index);
      states = states.map((state) => runner.run(source, weights, own, state));
    }
    const weights = await student.block(2);
    const own = await student.own(3);
    const seen = states.map((state) => runner.runTapped(3, weights, own, state).inputs);
    using awq = new Awq();
    for (const input of distinctInputs) {
      using hessian = new Hessian(matrixShape(a, input)[1]);
      for (const inputs of seen) hessian.add(inputs[input]!);
      hessian.flush();
      if (input === 'output') {
        // Heads 0 and 1 read one value head, 2 and 3 the other.
        for (let i = 0; i < 2 * a.headSize; i++) {
          const first = i < a.headSize ? i : i + a.headSize;
          const mean = (hessian.magnitudes[first]! + hessian.magnitudes[first + a.headSize]!) / 2;
          hessian.magnitudes[first] = mean;
          hessian.magnitudes[first + a.headSize] = mean;
        }
      }
      const matrices = blockMatrices
        .filter((matrix) => inputOf(matrix) === input)
        .map((matrix) => ({
          weights: weights.matrices[matrix]!,
          shape: matrixShape(a, matrix),
          bits: 4 as const,
          blockSize: 32,
        }));
      const expected = awq.choose(matrices, hessian).scales;
      expect(maxDifference(scales.get(2)![input]!, expected)).toBeLessThan(1e-4);
    }
  });

  it("leave a checkpoint's own codes alone", async () => {
    const checkpoint = await openCheckpoint(picoPath('llama-q4_0.gguf'));
    const student = plannedStudent(checkpoint, { layers: [{ source: 0, block: 0 }], weights: 'first' });
    const scales = await findScales({ checkpoint, student, windows, precision: int4 });
    expect(scales.size).toBe(0);
    await checkpoint.close();
  });
});
