import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Decoder } from '../../artifact/decoder/decoder.ts';
import { decoderOptions } from '../../artifact/decoder/decoder-options.ts';
import { bytesOf, parseManifest } from '../../artifact/manifest.ts';
import { servedShapeOf } from '../../artifact/served-memory.ts';
import { runStudent } from '../../compressor/evaluate/student.ts';
import { keepNarrowed } from '../../compressor/export/keep-narrowed.ts';
import { WorkFolder } from '../../compressor/export/work-folder.ts';
import { HeadRunner } from '../../compressor/forward/head-runner.ts';
import { LayerRunner } from '../../compressor/forward/layer-runner.ts';
import { blockMatrices } from '../../compressor/graph/layer.ts';
import { narrowStudent } from '../../compressor/narrow/narrow-student.ts';
import { nystrom } from '../../compressor/narrow/nystrom.ts';
import { ridgeLeverageScores } from '../../compressor/patch/ridge.ts';
import { makePlan } from '../../compressor/plan/make-plan.ts';
import { checkPlan, type FoldPlan } from '../../compressor/plan/plan.ts';
import { foldedSizes } from '../../compressor/plan/sizes.ts';
import { NearestQuantizer } from '../../compressor/quantize/block-quantizer.ts';
import { CalibratedQuantizer } from '../../compressor/quantize/calibrate.ts';
import { parsePrecision, resolvePrecision } from '../../compressor/quantize/precision.ts';
import { plannedStudent } from '../../compressor/student/planned-student.ts';
import type { Student } from '../../compressor/student/student.ts';
import { exportStudent } from '../fixtures/export-student.ts';
import { maxDifference } from '../fixtures/pico.ts';
import { picoArchitecture, randomCheckpoint, seeded } from '../fixtures/random-checkpoint.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

const { width, intermediateSize: whole } = picoArchitecture;
const checkpoint = randomCheckpoint();
const random = seeded(5);
const windows = Array.from({ length: 6 }, () =>
  Int32Array.from({ length: 64 }, () => Math.floor(random() * 96)),
);
const tokens = [1, 5, 9, 2, 30, 7, 11];

/** Of another width each, one of them the checkpoint's; two layers run one of them. */
const widths = [64, 96, 32];
function planOf(quantize: string): FoldPlan {
  const plan = makePlan(
    { name: 'random', layers: 4 },
    { method: 'given' },
    { remove: 0, share: 1, weights: 'first', quantize, keep: [] },
  );
  return { ...plan, layers: [0, 1, 2, 2].map((block, source) => ({ source, block })), widths };
}

async function narrowed(plan: FoldPlan): Promise<{ whole: Student; student: Student; work: WorkFolder }> {
  const work = await WorkFolder.open(await temporaryFolder(), 'narrow');
  const wide = plannedStudent(checkpoint, plan);
  return { whole: wide, work, student: await narrowStudent(wide, plan.widths!, windows, keepNarrowed(work)) };
}

type Matrices = Record<(typeof blockMatrices)[number], Float32Array>;

interface Golden {
  size: number;
  correlation: number[];
  down: number[];
  leverage: number[];
  kept: number[];
  fitted: number[];
}
const goldens: Golden[] = JSON.parse(
  await readFile(new URL('../fixtures/nystrom/golden.json', import.meta.url), 'utf8'),
);

describe.each(goldens)('the Nyström approximation of $size columns', (golden) => {
  it('has the leverage scores that PyTorch finds', () => {
    const scores = ridgeLeverageScores(Float64Array.from(golden.correlation), golden.size, 1e-2);
    expect(maxDifference(scores, golden.leverage)).toBeLessThan(1e-9);
  });

  it('keeps the same columns, and fits the same down projection', () => {
    const [correlation, down] = [golden.correlation, golden.down].map((values) => Float32Array.from(values));
    const { kept, down: fitted } = nystrom(correlation!, golden.size, down!, golden.kept.length);
    expect([...kept]).toEqual(golden.kept);
    const largest = Math.max(...golden.fitted.map(Math.abs));
    expect(maxDifference(fitted, golden.fitted)).toBeLessThan(1e-4 * largest);
  });
});

describe('a narrower MLP', () => {
  it('computes what the whole one would without the columns that went', async () => {
    const { whole: wide, student } = await narrowed(planOf('none'));
    const runner = new LayerRunner(picoArchitecture, 64);
    const hidden = Float32Array.from({ length: 10 * width }, () => random() - 0.5);
    for (const block of [0, 2]) {
      const full = await wide.block(block);
      const part = await student.block(block);
      const { gate, down: fitted } = part.matrices as Matrices;
      const columns = fitted.length / width;
      expect(columns).toBe(widths[block]);
      // Which rows of gate were kept, by looking for them.
      const rowOf = (row: Float32Array) =>
        Array.from({ length: whole }, (_, i) => i).find((i) =>
          row.every((value, k) => value === full.matrices.gate![i * width + k]),
        )!;
      const down = new Float32Array(width * whole);
      for (let i = 0; i < columns; i++) {
        const row = rowOf(gate.subarray(i * width, (i + 1) * width));
        for (let output = 0; output < width; output++)
          down[output * whole + row] = fitted[output * columns + i]!;
      }
      const own = await student.own(block);
      const wanted = runner.run(block, { matrices: { ...full.matrices, down } }, own, hidden);
      expect(maxDifference(runner.run(block, part, own, hidden), wanted)).toBeLessThan(1e-5);
    }
    runner[Symbol.dispose]();
  });

  it('loses less than one whose columns are merely dropped', async () => {
    const { whole: wide, student } = await narrowed(planOf('none'));
    const [wanted] = await runStudent(wide, windows);
    const [fitted] = await runStudent(student, windows);
    const dropped = {
      ...student,
      async block(block: number) {
        const { matrices, ...rest } = await student.block(block);
        const full = (await wide.block(block)).matrices.down!;
        const columns = widths[block]!;
        const down = Float32Array.from(
          { length: width * columns },
          (_, i) => full[Math.floor(i / columns) * whole + (i % columns)]!,
        );
        const first = (matrix: 'gate' | 'up') =>
          wide.matrix(block, matrix).then((all) => all.slice(0, columns * width));
        return { ...rest, matrices: { ...matrices, gate: await first('gate'), up: await first('up'), down } };
      },
    };
    const [without] = await runStudent(dropped, windows);
    const error = (states: Float32Array) =>
      states.reduce((sum, value, i) => sum + (value - wanted![i]!) ** 2, 0);
    expect(error(fitted!)).toBeLessThan(0.8 * error(without!));
  });

  it('leaves a block as wide as it was as it is, bit for bit', async () => {
    const { whole: wide, student } = await narrowed({ ...planOf('none'), widths: [whole, whole, whole] });
    for (const block of [0, 1, 2]) {
      const [before, after] = [await wide.block(block), await student.block(block)];
      for (const matrix of blockMatrices) expect(after.matrices[matrix]).toEqual(before.matrices[matrix]);
      expect(student.unchanged(block)).toBe(wide.unchanged(block));
    }
  });

  it('has blocks beside it of which attention alone is run, and layers that run it alone', async () => {
    const plan: FoldPlan = {
      ...planOf('none'),
      layers: [
        { source: 0, block: 0, half: 'attention' },
        { source: 1, block: 1 },
        { source: 2, block: 1, half: 'attention' },
        { source: 3, block: 2, half: 'mlp' },
      ],
      widths: [96, 64, 32],
    };
    checkPlan(plan, { name: 'random', layers: 4, intermediateSize: whole }, 'x');
    const { student, work } = await narrowed(plan);
    const sizes = async (block: number) => {
      const { matrices } = await student.block(block);
      return Object.fromEntries(Object.entries(matrices).map(([name, { length }]) => [name, length / width]));
    };
    expect(await sizes(0)).toEqual({ qkv: 128, output: 64 });
    expect(await sizes(1)).toEqual({ qkv: 128, output: 64, gate: 64, up: 64, down: 64 });
    expect(await sizes(2)).toEqual({ gate: 32, up: 32, down: 32 });
    const precision = resolvePrecision(checkpoint, plan, parsePrecision('none'));
    const { manifest } = await exportStudent({ checkpoint, student, plan, precision, work });
    expect(manifest.parameters.folded).toBe(foldedSizes(picoArchitecture, plan, precision).folded);
    const head = new HeadRunner(checkpoint, { threads: 1 });
    const wanted = await head.logits((await runStudent(student, [Int32Array.from(tokens)]))[0]!);
    const graph = join(work.path, manifest.graph.sha256);
    const decoder = new Decoder({ ...decoderOptions(manifest, graph, 64), threads: 1 });
    expect(maxDifference(decoder.runAll(decoder.newCache(), tokens), wanted)).toBeLessThan(1e-4);
    decoder[Symbol.dispose]();
    head[Symbol.dispose]();
  });

  it('is kept, and not fitted again', async () => {
    const plan = planOf('none');
    const { whole: wide, student, work } = await narrowed(plan);
    const again = await narrowStudent(wide, widths, [], keepNarrowed(work));
    const matrix = await student.matrix(0, 'down');
    expect(await again.matrix(0, 'down')).toEqual(matrix);
  });

  it.each([
    ['none', false, 1e-4],
    ['int8:32', false, 0.15],
    ['int4:32', true, 1.5],
  ])('in the stored graph computes the same (%s)', async (quantize, calibrated, tolerance) => {
    const plan = planOf(quantize);
    const { student, work, whole: wide } = await narrowed(plan);
    const precision = resolvePrecision(checkpoint, plan, parsePrecision(quantize));
    const precisionOf = (_: number, matrix: (typeof blockMatrices)[number]) => precision[matrix];
    const nearest = new NearestQuantizer(checkpoint, student, precisionOf);
    const how = { student, windows, precision: precisionOf, nearest, written: async () => undefined };
    const quantizer = calibrated ? new CalibratedQuantizer(how) : nearest;
    const exported = await exportStudent({ checkpoint, student, plan, precision, work, quantizer });
    const { files } = exported;
    const manifest = parseManifest(new TextEncoder().encode(JSON.stringify(exported.manifest)), 'x');

    const blocks = manifest.weights.filter(({ kind }) => kind === 'block');
    expect(blocks.map(({ intermediateSize }) => intermediateSize)).toEqual([64, undefined, 32]);
    expect(servedShapeOf(manifest).intermediateSize).toBe(96);
    const sizes = foldedSizes(picoArchitecture, plan, precision);
    expect(manifest.parameters.folded).toBe(sizes.folded);
    const others = [manifest.graph, ...Object.values(manifest.tokenizer)].reduce(
      (sum, file) => sum + file!.bytes,
      0,
    );
    const rotary = manifest.weights.find(({ kind }) => kind === 'rotary')!.bytes;
    // Blobs pad each tensor to a page of its own at most.
    expect(Math.abs(bytesOf(manifest) - others - rotary - sizes.bytes)).toBeLessThan(
      0.02 * sizes.bytes + 4096,
    );

    const head = new HeadRunner(checkpoint, { threads: 1 });
    const logits = async (of: Student) => head.logits((await runStudent(of, [Int32Array.from(tokens)]))[0]!);
    const wanted = await logits(student);
    const graph = join(work.path, manifest.graph.sha256);
    expect(files.get(manifest.graph.sha256)).toBe(graph);
    const decoder = new Decoder({ ...decoderOptions(manifest, graph, 64), threads: 1 });
    expect(maxDifference(decoder.runAll(decoder.newCache(), tokens), wanted)).toBeLessThan(tolerance);
    expect(maxDifference(await logits(wide), wanted)).toBeGreaterThan(2e-4);
    decoder[Symbol.dispose]();
    head[Symbol.dispose]();
  });
});
