import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import {
  cachedLayers,
  type Manifest,
  type MatrixKind,
  type Precision,
  schemaVersionOf,
} from '../../artifact/manifest.ts';
import { hasAdapter } from '../adapter/adapter.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { windowsDigest } from '../evaluate/windows.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import { blockMatrices } from '../graph/layer.ts';
import type { FoldPlan } from '../plan/plan.ts';
import { foldedSizes } from '../plan/sizes.ts';
import { type BlockQuantizer, NearestQuantizer } from '../quantize/block-quantizer.ts';
import { cacheScales } from '../quantize/cache-scales.ts';
import { blocksInOrder, type Student } from '../student/student.ts';
import { storedPositions } from '../weights/rotary.ts';
import { BlobWriter, type WrittenBlob } from './blob-writer.ts';
import { writeCacheScales } from './cache-scales.ts';
import { decoderGraph, readerGraph } from './graph.ts';
import { WeightWriter } from './weights.ts';
import type { WorkFolder } from './work-folder.ts';

export interface ExportOptions {
  checkpoint: Checkpoint;
  /** The weights to write, of the plan's layers. */
  student: Student;
  plan: FoldPlan;
  precision: Record<MatrixKind, Precision>;
  /** The model's name in its store. */
  name: string;
  work: WorkFolder;
  /** @default rounds to nearest */
  quantizer?: BlockQuantizer;
  /** Windows of a text that the scales of an int8 cache are taken from. @default the model has none */
  cacheText?: readonly Int32Array[];
  /** Whether blocks are written a second time, in int8, to read prompts with. @default false */
  promptWeights?: boolean;
  /** Recorded in the manifest: enough to run the fold again. */
  folding: Manifest['folding'];
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

export interface ExportedModel {
  manifest: Manifest;
  /** sha256 -> file of every blob. */
  files: Map<string, string>;
}

/** Writes the blobs, the graph over them and the manifest into the work folder. */
export async function exportModel(options: ExportOptions): Promise<ExportedModel> {
  const { checkpoint, student, plan, precision, work, signal } = options;
  const { architecture: a } = checkpoint;
  const writer = new WeightWriter({ student, precision, folder: work.path });
  const layersWith = async (has: (index: number) => Promise<boolean>) => {
    const found: number[] = [];
    for (const index of student.layers.keys()) if (await has(index)) found.push(index);
    return found;
  };
  const quantizer =
    options.quantizer ?? new NearestQuantizer(checkpoint, student, (_, matrix) => precision[matrix]);
  const order = blocksInOrder(student);
  const patched = await layersWith(async (index) => (await student.patch(index)) !== undefined);
  const adapted = await layersWith(async (index) => hasAdapter(a, await student.own(index)));
  const optional = [!a.tiedHead, patched.length > 0, adapted.length > 0, options.cacheText];
  // A model without attention reads nothing into a cache.
  const readsApart = (options.promptWeights ?? false) && cachedLayers(plan.layers) > 0;
  const written = readsApart ? 2 * order.length : order.length;
  const total = written + 3 + optional.filter(Boolean).length;
  let done = 0;
  const step = async (name: string, write: () => Promise<WrittenBlob>) => {
    signal?.throwIfAborted();
    const blob = await work.once(name, write);
    options.onProgress?.(++done, total);
    return blob;
  };

  /** A large vocabulary takes minutes: Ctrl-C is heard between its pieces, not only after it. */
  const onRows = async () => betweenSteps(signal);
  const blocks: WrittenBlob[] = [];
  for (const block of order) {
    const write = async () => writer.block(block, await quantizer.quantize(block));
    blocks[block] = await step(blockStep(block), write);
  }
  const promptBlocks: WrittenBlob[] = [];
  for (const block of readsApart ? order : [])
    promptBlocks[block] = await step(`prompt-${blockStep(block)}`, () => writer.promptBlock(block));
  const positions = storedPositions(a.contextLength);
  const norms = await step('norms', () => writer.norms());
  const adapters = adapted.length > 0 ? await step('adapters', () => writer.adapters()) : undefined;
  const patches = patched.length > 0 ? await step('patches', () => writer.patches()) : undefined;
  const rotary = await step('rotary', () => writer.rotary(positions));
  const embedding = await step('embedding', () => writer.vocabulary('embedding', onRows));
  const head = a.tiedHead ? undefined : await step('head', () => writer.vocabulary('head', onRows));
  const parts = {
    architecture: a,
    layers: plan.layers,
    widths: student.widths,
    blocks,
    norms,
    adapters,
    patches,
    rotary,
    embedding,
    head,
  };

  const files = new Map<string, string>();
  const addBlob = ({ sha256, bytes }: WrittenBlob) => {
    files.set(sha256, join(work.path, sha256));
    return { sha256, bytes };
  };
  const weights: Manifest['weights'] = [];
  const addWeights = (kind: Manifest['weights'][number]['kind'], blob: WrittenBlob, block?: number) => {
    weights.push({ ...addBlob(blob), kind, ...(block !== undefined && { block }) });
  };
  for (const [block, blob] of blocks.entries()) {
    addWeights('block', blob, block);
    const width = student.widths?.[block];
    if (width !== undefined && width !== a.intermediateSize) weights.at(-1)!.intermediateSize = width;
    const exceptions = exceptionsOf(blob, precision);
    if (Object.keys(exceptions).length > 0) weights.at(-1)!.quantization = exceptions;
  }
  addWeights('norms', norms);
  if (adapters) addWeights('adapters', adapters);
  if (patches) addWeights('patches', patches);
  addWeights('rotary', rotary);
  addWeights('embedding', embedding);
  if (head) addWeights('embedding', head);
  const addFile = async (bytes: Uint8Array) => {
    const blob = await writeBlob(work.path, bytes);
    addBlob(blob);
    return blob;
  };
  const tokenizer = await checkpoint.tokenizerFiles();
  const config = tokenizer['tokenizer_config.json'];
  const sizes = foldedSizes(a, plan, precision);
  const manifest: Manifest = {
    schemaVersion: schemaVersionOf(plan.layers),
    name: options.name,
    architecture: a.family,
    dimensions: {
      vocabularySize: a.vocabularySize,
      width: a.width,
      heads: a.heads,
      kvHeads: a.kvHeads,
      headSize: a.headSize,
      intermediateSize: a.intermediateSize,
      contextLength: positions,
    },
    layers: plan.layers.map((layer, index) => ({
      index,
      ...layer,
      ...(adapted.includes(index) && { adapter: true as const }),
      ...(patched.includes(index) && { patch: true as const }),
    })),
    tokens: {
      ...(checkpoint.tokens.bos !== undefined && { bos: checkpoint.tokens.bos }),
      eos: checkpoint.tokens.eos,
      ...(checkpoint.tokens.chatTemplate !== undefined && { chatTemplate: checkpoint.tokens.chatTemplate }),
    },
    ...(checkpoint.tokens.sampling && { sampling: checkpoint.tokens.sampling }),
    graph: await addFile(decoderGraph(parts)),
    tokenizer: {
      'tokenizer.json': await addFile(tokenizer['tokenizer.json']),
      ...(config && { 'tokenizer_config.json': await addFile(config) }),
    },
    weights,
    parameters: { original: sizes.original, folded: sizes.folded },
    quantization: precision,
    folding: options.folding,
  };
  const graphPath = join(work.path, manifest.graph.sha256);
  const scalesOf = async (cacheText: readonly Int32Array[]) =>
    step(`cache-scales-${windowsDigest(cacheText)}`, async () =>
      // The model itself tells what its cache holds.
      writeCacheScales(
        work.path,
        await cacheScales(graphPath, manifest, cacheText, signal ? { signal } : {}),
      ),
    );
  const scales = options.cacheText && (await scalesOf(options.cacheText));
  const int8Cache = scales && {
    graph: await addFile(decoderGraph({ ...parts, cacheScales: scales })),
    scales: addBlob(scales),
  };
  const reader = (cacheScales?: WrittenBlob) =>
    addFile(readerGraph({ ...parts, promptBlocks, ...(cacheScales && { cacheScales }) }));
  const promptWeights = readsApart && {
    graph: await reader(),
    ...(scales && { int8CacheGraph: await reader(scales) }),
    blocks: promptBlocks.map(addBlob),
  };
  return {
    manifest: { ...manifest, ...(int8Cache && { int8Cache }), ...(promptWeights && { promptWeights }) },
    files,
  };
}

/** The matrices of a block that are stored otherwise than their kind. */
function exceptionsOf(
  blob: WrittenBlob,
  precision: Record<MatrixKind, Precision>,
): Partial<Record<MatrixKind, Precision>> {
  const exceptions: Partial<Record<MatrixKind, Precision>> = {};
  for (const matrix of blockMatrices) {
    const codes = blob.tensors.find(({ name }) => name === `${matrix}.values`)?.codes;
    if (codes && codes.bits !== precision[matrix].bits) exceptions[matrix] = codes as Precision;
  }
  return exceptions;
}

/** The name of the step that writes a block. */
export function blockStep(block: number): string {
  return `block-${block}`;
}

async function writeBlob(folder: string, bytes: Uint8Array): Promise<WrittenBlob> {
  const blob = await BlobWriter.create(folder, randomUUID());
  try {
    await blob.add('file', 'uint8', [bytes.length], bytes);
    return await blob.finish();
  } catch (error) {
    await blob.abort();
    throw error;
  }
}
