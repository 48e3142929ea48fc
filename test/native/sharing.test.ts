import { readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Decoder } from '../../artifact/decoder/decoder.ts';
import { decoderOptions } from '../../artifact/decoder/decoder-options.ts';
import type { Checkpoint } from '../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { runStudent } from '../../compressor/evaluate/student.ts';
import { HeadRunner } from '../../compressor/forward/head-runner.ts';
import { identityPlan, type LayerPlan, plannedStudent } from '../../compressor/student/planned-student.ts';
import { readGraph } from '../fixtures/exported-graph.ts';
import { type FoldPicoOptions, foldInto } from '../fixtures/fold-into.ts';
import { golden, maxDifference, type PicoForm, picoFamilies, picoPath } from '../fixtures/pico.ts';
import { randomCheckpoint } from '../fixtures/random-checkpoint.ts';
import { type Rewired, rewired } from '../fixtures/rewired-checkpoint.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

/** The checkpoint's logits, layer by layer in float32. */
async function logitsOf(checkpoint: Checkpoint, plan: LayerPlan, tokens: number[]) {
  const [states] = await runStudent(plannedStudent(checkpoint, plan), [Int32Array.from(tokens)]);
  using head = new HeadRunner(checkpoint, { threads: 1 });
  return await head.logits(states!);
}

/** What each fold amounts to, wired by hand. Scores of layers: 1, 3, 2, 5 (the fourth is Gemma's alone). */
const scores = [1, 3, 2, 5];
const folds: [FoldPicoOptions, (layers: number) => Rewired[]][] = [
  [{ share: 2 }, (layers) => wire(layers, (layer) => [[layer - (layer % 2), 1]])],
  [{ share: 3, weights: 'last' }, (layers) => wire(layers, (layer) => [[layer < 3 ? 2 : 3, 1]])],
  [{ share: 3, weights: 'middle' }, (layers) => wire(layers, (layer) => [[layer < 3 ? 1 : 3, 1]])],
  [
    { share: 3, weights: 'mean' },
    (layers) =>
      wire(layers, (layer) =>
        layer < 3
          ? [
              [0, 1 / 3],
              [1, 1 / 3],
              [2, 1 / 3],
            ]
          : [[3, 1]],
      ),
  ],
  [
    { share: 3, weights: 'weighted' },
    (layers) =>
      wire(layers, (layer) =>
        layer < 3
          ? [
              [0, 1 / 6],
              [1, 3 / 6],
              [2, 2 / 6],
            ]
          : [[3, 1]],
      ),
  ],
  [
    { remove: 0.3 }, // layer 0, the least important
    (layers) => wire(layers, (layer) => [[layer, 1]]).slice(1),
  ],
  [{ remove: 0.3, share: 2 }, (layers) => wire(layers, (layer) => [[layer < 3 ? 1 : 3, 1]]).slice(1)],
];

function wire(layers: number, matrices: (layer: number) => Rewired['matrices']): Rewired[] {
  return Array.from({ length: layers }, (_, layer) => ({ matrices: matrices(layer), norms: layer }));
}

describe.each(picoFamilies)('%s', (family: PicoForm) => {
  it.each(folds)('folded by %j is the model wired by hand', async (options, wiring) => {
    const checkpoint = await openCheckpoint(picoPath(family));
    const layers = checkpoint.architecture.layers.length;
    const { tokens } = await golden(family);
    const byHand = rewired(checkpoint, wiring(layers));
    const wanted = await logitsOf(byHand, identityPlan(byHand.architecture.layers.length), tokens);

    const given = scores.slice(0, layers);
    const { plan, manifest, graphPath } = await foldInto(await temporaryFolder(), checkpoint, {
      ...options,
      scores: given,
    });
    expect(maxDifference(await logitsOf(checkpoint, plan, tokens), wanted)).toBeLessThan(1e-4);
    const decoder = new Decoder({ ...decoderOptions(manifest, graphPath, 64), threads: 1 });
    expect(maxDifference(await decoder.runAll(decoder.newCache(), tokens), wanted)).toBeLessThan(1e-4);
    decoder[Symbol.dispose]();
    await checkpoint.close();
  });
});

describe('a folded graph', () => {
  it.each(['none', 'int4:32'])(
    'names the same initializers where layers share a block (%s)',
    async (quantize) => {
      const options = { share: 2, quantize };
      const { graphPath, manifest } = await foldInto(await temporaryFolder(), randomCheckpoint(), options);
      const { nodes, external } = await readGraph(graphPath);
      const ending = quantize === 'none' ? 'weight' : 'values';
      const uses = (initializer: string) => nodes.filter((node) => node.input.includes(initializer)).length;
      for (const matrix of ['qkv', 'output', 'gate', 'up', 'down']) {
        for (const block of [0, 1]) expect(uses(`block.${block}.${matrix}.${ending}`)).toBe(2);
        expect(external.has(`block.2.${matrix}.${ending}`)).toBe(false);
      }
      // Norms and caches stay a layer's own.
      for (const layer of [0, 1, 2, 3]) {
        for (const own of [`layers.${layer}.attention.norm`, `layers.${layer}.mlp.norm`])
          expect(uses(own)).toBe(1);
        expect(uses(`past_key_values.${layer}.key`)).toBe(1);
      }
      const blocks = manifest.weights.filter(({ kind }) => kind === 'block');
      expect(blocks.map(({ block }) => block)).toEqual([0, 1]);
      expect(new Set([...external.values()].map(({ file }) => file))).toEqual(
        new Set(manifest.weights.map(({ sha256 }) => sha256)),
      );
    },
  );

  it('takes only the rows that need logits beyond the last attention', async () => {
    const { graphPath } = await foldInto(await temporaryFolder(), randomCheckpoint());
    const { nodes } = await readGraph(graphPath);
    const operators = nodes.map(({ opType }) => opType);
    const after = operators.slice(operators.lastIndexOf('GroupQueryAttention') + 1);
    expect(after.indexOf('Gather')).toBeGreaterThanOrEqual(0);
    expect(after.indexOf('Gather')).toBeLessThan(after.indexOf('FusedMatMul'));
    // Nowhere else but where the embedding's rows are read.
    expect(operators.filter((operator) => operator === 'Gather')).toHaveLength(3);
  });

  it('holds no weights itself', async () => {
    const { graphPath, manifest } = await foldInto(await temporaryFolder(), randomCheckpoint());
    expect(manifest.graph.bytes).toBeLessThan(20_000);
    const { external } = await readGraph(graphPath);
    for (const { file, offset, length } of external.values()) {
      const blob = manifest.weights.find(({ sha256 }) => sha256 === file)!;
      expect(offset + length).toBeLessThanOrEqual(blob.bytes);
    }
  });
});

describe('variants of one model in one store', () => {
  it('share the blobs they have in common', async () => {
    const folder = await temporaryFolder();
    const checkpoint = randomCheckpoint();
    const full = await foldInto(folder, checkpoint, { name: 'full', quantize: 'int4:32' });
    const before = await readdir(dirname(full.graphPath));
    const folded = await foldInto(folder, checkpoint, { name: 'folded', quantize: 'int4:32', share: 2 });
    const blobs = (kind: string, { manifest }: typeof full) =>
      manifest.weights.filter((blob) => blob.kind === kind).map(({ sha256 }) => sha256);
    const blocks = blobs('block', full);
    expect(blobs('block', folded)).toEqual([blocks[0], blocks[2]]);
    for (const kind of ['embedding', 'norms', 'rotary'])
      expect(blobs(kind, folded)).toEqual(blobs(kind, full));
    // The second fold brought its graph and nothing else.
    const after = await readdir(dirname(full.graphPath));
    expect(after.filter((name) => !before.includes(name))).toEqual([folded.manifest.graph.sha256]);
  });

  it('store two equal blocks once', async () => {
    const twins = rewired(
      randomCheckpoint(),
      wire(4, (layer) => [[Math.min(layer, 2), 1]]),
    );
    const { manifest, graphPath } = await foldInto(await temporaryFolder(), twins);
    const blocks = manifest.weights.filter(({ kind }) => kind === 'block').map(({ sha256 }) => sha256);
    expect(blocks).toHaveLength(4);
    expect(new Set(blocks).size).toBe(3);
    const decoder = new Decoder({ ...decoderOptions(manifest, graphPath, 64), threads: 1 });
    expect(decoder.runAll(decoder.newCache(), [1, 2, 3]).every(Number.isFinite)).toBe(true);
    decoder[Symbol.dispose]();
  });

  it('are the same to the last bit when folded again', async () => {
    const options = { share: 2, quantize: 'int4' };
    const [one, two] = [await temporaryFolder(), await temporaryFolder()];
    const { manifest } = await foldInto(one, randomCheckpoint(), options);
    const again = (await foldInto(two, randomCheckpoint(), options)).manifest;
    expect(again.weights).toEqual(manifest.weights);
    expect(again.graph).toEqual(manifest.graph);
  });
});
