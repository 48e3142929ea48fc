import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { type Half, matrixKinds } from '../../artifact/manifest.ts';
import type { Checkpoint } from '../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { runStudent } from '../../compressor/evaluate/student.ts';
import { HeadRunner } from '../../compressor/forward/head-runner.ts';
import { matricesOf } from '../../compressor/graph/halves.ts';
import { multiplyAdds } from '../../compressor/plan/multiply-adds.ts';
import type { PlannedLayer } from '../../compressor/plan/plan.ts';
import { contextTokens, servedBytes } from '../../compressor/plan/served-bytes.ts';
import { foldedSizes } from '../../compressor/plan/sizes.ts';
import { plannedStudent } from '../../compressor/student/planned-student.ts';
import { blockParameters, normParameters } from '../../compressor/weights/block.ts';
import { readGraph } from '../fixtures/exported-graph.ts';
import { floats } from '../fixtures/floats.ts';
import { foldInto, withDecoder } from '../fixtures/fold-into.ts';
import { golden as goldenOf, maxDifference, type picoFamilies, picoPath } from '../fixtures/pico.ts';
import { randomCheckpoint } from '../fixtures/random-checkpoint.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

interface Case {
  family: (typeof picoFamilies)[number];
  gone: { layer: number; half: Half }[];
  /** [positions, vocabulary] */
  logits: string;
}

const { positions, cases }: { positions: number[]; cases: Case[] } = JSON.parse(
  await readFile(new URL('../fixtures/halves/golden.json', import.meta.url), 'utf8'),
);

function without(checkpoint: Checkpoint, gone: Case['gone']): PlannedLayer[] {
  return checkpoint.architecture.layers.map((_, layer): PlannedLayer => {
    const missing = gone.find((one) => one.layer === layer)?.half;
    const half = missing && (missing === 'attention' ? 'mlp' : 'attention');
    return { source: layer, block: layer, ...(half && { half }) };
  });
}

/** Rows of [tokens, vocabulary]. */
function rowsAt(logits: Float32Array, vocabulary: number): number[] {
  return positions.flatMap((row) => [...logits.subarray(row * vocabulary, (row + 1) * vocabulary)]);
}

describe.each(cases)('$family without $gone', ({ family, gone, logits }) => {
  const wanted = floats(logits);

  it('is what transformers makes of it, before and after it is stored', async () => {
    const checkpoint = await openCheckpoint(picoPath(family));
    const { tokens, vocabulary } = await goldenOf(family);
    const layers = without(checkpoint, gone);
    const student = plannedStudent(checkpoint, { layers, weights: 'first' });
    const [states] = await runStudent(student, [Int32Array.from(tokens)]);
    using head = new HeadRunner(checkpoint, { threads: 1 });
    expect(maxDifference(rowsAt(await head.logits(states!), vocabulary), wanted)).toBeLessThan(1e-4);

    const folded = await foldInto(await temporaryFolder(), checkpoint, { layers });
    await withDecoder(folded, 64, async (decoder) => {
      const cache = decoder.newCache();
      expect(maxDifference(rowsAt(decoder.runAll(cache, tokens), vocabulary), wanted)).toBeLessThan(1e-4);
      // The prompt in one piece, the rest token by token on top of its cache.
      const stepped = decoder.newCache();
      const [start, ...steps] = [tokens.slice(0, 16), ...tokens.slice(16).map((token) => [token])];
      let last = decoder.run(stepped, start!);
      expect(maxDifference(last, wanted.subarray(vocabulary, 2 * vocabulary))).toBeLessThan(1e-4);
      for (const step of steps) last = decoder.run(stepped, step);
      expect(maxDifference(last, wanted.subarray(2 * vocabulary))).toBeLessThan(1e-4);
      expect(cache.shape.layers).toBe(layers.filter(({ half }) => half !== 'mlp').length);
    });
    await checkpoint.close();
  });
});

/** Of four layers: the second without attention, the third without MLP, the last without attention. */
const halved: PlannedLayer[] = [
  { source: 0, block: 0 },
  { source: 1, block: 1, half: 'mlp' },
  { source: 2, block: 2, half: 'attention' },
  { source: 3, block: 3, half: 'mlp' },
];

describe('a fold that leaves halves out', () => {
  it.each(['none', 'int8', 'int4'])('stores what is run and nothing else (%s)', async (quantize) => {
    const checkpoint = randomCheckpoint();
    const { manifest, graphPath, plan } = await foldInto(await temporaryFolder(), checkpoint, {
      layers: halved,
      quantize,
    });
    const { nodes, external } = await readGraph(graphPath);
    for (const { source, block, half } of halved) {
      for (const matrix of matricesOf(undefined)) {
        const isRun = matricesOf(half).includes(matrix);
        const ending = quantize === 'none' ? 'weight' : 'values';
        expect(external.has(`block.${block}.${matrix}.${ending}`), `${matrix} of ${block}`).toBe(isRun);
      }
      expect(external.has(`layers.${source}.attention.norm`)).toBe(half !== 'mlp');
      expect(external.has(`layers.${source}.mlp.norm`)).toBe(half !== 'attention');
    }
    expect(nodes.filter(({ opType }) => opType === 'GroupQueryAttention')).toHaveLength(2);
    expect(manifest.layers.map(({ half }) => half)).toEqual([undefined, 'mlp', 'attention', 'mlp']);
    expect(manifest.schemaVersion).toBe(2);
    const blocks = manifest.weights.filter(({ kind }) => kind === 'block');
    const stored = new Map<string, number>();
    for (const { file, offset, length } of external.values())
      stored.set(file, Math.max(stored.get(file) ?? 0, offset + length));
    for (const { sha256, bytes } of blocks) expect(stored.get(sha256)).toBe(bytes);
    // Of the sizes told beforehand.
    const sizes = foldedSizes(checkpoint.architecture, plan, manifest.quantization as never);
    const weights = manifest.weights.filter(({ kind }) => kind !== 'rotary');
    const bytes = weights.reduce((sum, blob) => sum + blob.bytes, 0);
    expect(Math.abs(sizes.bytes - bytes)).toBeLessThan(64 * 40); // of padding between tensors
    expect(manifest.parameters.folded).toBe(sizes.folded);
  });

  it('fits int4 to what flows through the halves that are run', async () => {
    const checkpoint = randomCheckpoint();
    const windows = [0, 1, 2].map((i) => Int32Array.from({ length: 24 }, (_, j) => (7 * i + 5 * j) % 90));
    const tokens = [...windows[0]!];
    const student = plannedStudent(checkpoint, { layers: halved, weights: 'first' });
    const [states] = await runStudent(student, [windows[0]!]);
    using head = new HeadRunner(checkpoint, { threads: 1 });
    const wanted = await head.logits(states!);
    for (const calibration of ['gptq', 'awq'] as const) {
      const folded = await foldInto(await temporaryFolder(), checkpoint, {
        ...{ layers: halved, quantize: 'int4:32', calibrate: windows, calibration },
      });
      await withDecoder(folded, 32, async (decoder) => {
        const found = decoder.runAll(decoder.newCache(), tokens);
        expect(cosine(found, wanted)).toBeGreaterThan(0.9);
      });
    }
  });

  it('keeps rows of a batch apart, and keys and values in int8 too', async () => {
    const checkpoint = randomCheckpoint();
    const text = Array.from({ length: 24 }, (_, i) => (i * 37 + 5) % 90);
    const folded = await foldInto(await temporaryFolder(), checkpoint, {
      ...{ layers: halved, cacheText: [Int32Array.from(text)] },
    });
    const prompts = [text.slice(0, 9), text.slice(4, 8), text.slice(10)];
    for (const type of ['float32', 'int8'] as const) {
      const tolerance = type === 'int8' ? 0.05 : 1e-4; // codes fall to either side of a border
      await withDecoder(
        folded,
        32,
        async (decoder) => {
          const cache = decoder.newCache(prompts.length);
          expect(cache.shape).toMatchObject({ layers: 2, type });
          for (const [row, prompt] of prompts.entries()) decoder.run(cache, prompt, row);
          const together = decoder.step(cache, [0, 1, 2], [7, 8, 9]).map((logits) => logits.slice());
          for (const [row, prompt] of prompts.entries()) {
            const alone = decoder.run(decoder.newCache(), [...prompt, 7 + row]);
            expect(maxDifference(together[row]!, alone)).toBeLessThan(tolerance);
          }
        },
        type,
      );
    }
  });

  it('needs memory for the caches of attentions alone', () => {
    const { architecture } = randomCheckpoint();
    const served = (layers: PlannedLayer[]) =>
      servedBytes({
        architecture,
        plan: { layers },
        precision: Object.fromEntries(matrixKinds.map((kind) => [kind, { bits: 32 }])) as never,
        budget: undefined,
        tokenizer: 0,
      });
    const whole = [0, 1, 2, 3].map((source) => ({ source, block: source }));
    const without = whole.map((layer) => (layer.source === 2 ? { ...layer, half: 'mlp' as const } : layer));
    const { kvHeads, headSize } = architecture;
    const cache = 2 * kvHeads * headSize * 4 * contextTokens;
    const stored =
      4 * (blockParameters(architecture, 'attention') + normParameters(architecture, 'attention'));
    expect(served(whole) - served(without)).toBe(cache + stored);
  });

  it('counts multiply-adds of what is run', () => {
    const { architecture: a } = randomCheckpoint();
    const of = (half: Half | undefined) =>
      multiplyAdds(a, { layers: [{ source: 0, block: 0, ...(half && { half }) }] }, 8) -
      a.vocabularySize * a.width;
    expect(of('attention') + of('mlp')).toBe(of(undefined));
    expect(of('mlp')).toBe(3 * a.width * a.intermediateSize);
  });

  it('stores the halves that any layer of a shared block runs', async () => {
    const checkpoint = randomCheckpoint();
    const layers: PlannedLayer[] = [
      { source: 0, block: 0, half: 'attention' },
      { source: 1, block: 1, half: 'attention' },
      { source: 2, block: 1, half: 'mlp' },
      { source: 3, block: 0, half: 'attention' },
    ];
    const folded = await foldInto(await temporaryFolder(), checkpoint, { layers });
    const { external } = await readGraph(folded.graphPath);
    const names = (block: number) =>
      matricesOf(undefined).filter((matrix) => external.has(`block.${block}.${matrix}.weight`));
    expect(names(0)).toEqual(['qkv', 'output']);
    expect(names(1)).toEqual(['qkv', 'output', 'gate', 'up', 'down']);
    const tokens = [3, 1, 4, 1, 5, 9, 2, 6];
    const student = plannedStudent(checkpoint, { layers, weights: 'first' });
    const [states] = await runStudent(student, [Int32Array.from(tokens)]);
    using head = new HeadRunner(checkpoint, { threads: 1 });
    const wanted = await head.logits(states!);
    await withDecoder(folded, 32, async (decoder) => {
      expect(maxDifference(decoder.runAll(decoder.newCache(), tokens), wanted)).toBeLessThan(1e-4);
    });
  });
});

function cosine(a: Float32Array, b: Float32Array): number {
  let [ab, aa, bb] = [0, 0, 0];
  for (const [i, x] of a.entries()) {
    ab += x * b[i]!;
    aa += x * x;
    bb += b[i]! ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}
