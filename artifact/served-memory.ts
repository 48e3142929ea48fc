import { bytesPerToken, type CacheType, promptChunk } from './decoder/decoder-options.ts';
import { bytesOf, cachedLayers, type Manifest, type Precision } from './manifest.ts';

/** What of a model decides how much memory serving it takes. */
export interface ServedShape {
  /** That attend to earlier tokens. */
  layers: number;
  vocabularySize: number;
  width: number;
  heads: number;
  kvHeads: number;
  headSize: number;
  /** Of the widest block. */
  intermediateSize: number;
  /** Of the distinct weights that the runtime holds. */
  weightBytes: number;
  /** What keys and values are kept in. */
  kvCache: CacheType;
}

/**
 * Bytes, measured (docs/benchmarks.md). `program`: mapped text of Node and ONNX Runtime, which the system may
 * drop and read again; `heaps`: V8's heaps and the runtime's own structures.
 */
const fixedBytes = { program: 75e6, heaps: 55e6 };

/** A piece of the vocabulary in the tokenizer's tables and in those that turn tokens into text. */
const bytesPerPiece = 300;

/** Bytes of prefixes that a server keeps, in memory as on the disk, where nobody says otherwise. */
export const usualPrefixBytes = 128e6;

/** Temporary files and what file systems take for themselves, in bytes. */
const diskReserve = 64 * 1024 * 1024;

/** Bytes of disk that a server's cache of blobs takes: a new version comes while the old one is still there. */
export function servedDiskOf(manifest: Manifest): number {
  return 2 * bytesOf(manifest) + usualPrefixBytes + diskReserve;
}

/** Resident bytes of a process that serves the model, with so many tokens in its cache. */
export function servedMemory(shape: ServedShape, tokens: number): number {
  return fixedBytes.program + leastMemory(shape, tokens);
}

/** Of these, the bytes that the system cannot take back: with less the process cannot live. */
export function leastMemory(shape: ServedShape, tokens: number): number {
  return fixedBytes.heaps + shape.vocabularySize * bytesPerPiece + sessionMemory(shape, tokens);
}

/**
 * Of these, the bytes of the runtime's session and its cache: what a second model in the process, of the same
 * vocabulary, adds. It packs all its weights for itself, also those that both name.
 */
export function sessionMemory(shape: ServedShape, tokens: number): number {
  const { width, heads, intermediateSize, weightBytes } = shape;
  // Of the widest layer for one chunk of a prompt, in numbers a token; the runtime keeps it.
  const scratch = promptChunk * 4 * (4 * intermediateSize + 6 * width + heads * tokens);
  const cache = bytesPerToken({ ...shape, type: shape.kvCache }) * tokens;
  return weightBytes + cache + scratch;
}

/**
 * Weights count where the runtime holds them packed. Of the embedding, rows are read from the mapped file; packed is
 * the head, which is the same matrix or another one of its size. Adapters count as they are stored: what the runtime puts
 * together of common pools of shards comes on top, and a manifest does not say how much that is.
 */
export function servedShapeOf(manifest: Manifest, kvCache: CacheType = 'float32'): ServedShape {
  const { dimensions, quantization, weights } = manifest;
  const matrix = matrixBytes(dimensions.vocabularySize, dimensions.width, quantization.embedding);
  const bytesOf = (...kinds: (typeof weights)[number]['kind'][]) =>
    weights.reduce((sum, { kind, bytes }) => (kinds.includes(kind) ? sum + bytes : sum), 0);
  const both = bytesOf('embedding');
  const prompts = manifest.promptWeights?.blocks.reduce((sum, { bytes }) => sum + bytes, 0) ?? 0;
  const weightBytes =
    bytesOf('block', 'norms', 'adapters', 'patches') + prompts + (both > 1.5 * matrix ? both / 2 : both);
  const widths = weights.flatMap(({ kind, intermediateSize = dimensions.intermediateSize }) =>
    kind === 'block' ? [intermediateSize] : [],
  );
  const intermediateSize = Math.max(...widths);
  return { ...dimensions, intermediateSize, layers: cachedLayers(manifest.layers), weightBytes, kvCache };
}

/** Bytes of a matrix as it is stored: codes, and a float32 scale for each block of them. */
function matrixBytes(rows: number, columns: number, { bits, blockSize }: Precision): number {
  const scales = blockSize === undefined ? 0 : Math.ceil(columns / blockSize) * 4;
  return rows * ((columns * bits) / 8 + scales);
}

/** As `servedMemory`, of a folded model. */
export function servedMemoryOf(manifest: Manifest, tokens: number, kvCache?: CacheType): number {
  return servedMemory(servedShapeOf(manifest, kvCache), tokens);
}
