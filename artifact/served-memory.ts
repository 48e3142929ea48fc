import type { Manifest } from './manifest.ts';

/** What of a model decides how much memory serving it takes. */
export interface ServedShape {
  layers: number;
  vocabularySize: number;
  width: number;
  heads: number;
  kvHeads: number;
  headSize: number;
  intermediateSize: number;
  /** Of all distinct weights, as they are stored. */
  weightBytes: number;
}

/**
 * Bytes, measured (docs/benchmarks.md). `program`: mapped text of Node and ONNX Runtime, which the system may
 * drop and read again; `heaps`: V8's heaps and the runtime's own structures.
 */
const fixedBytes = { program: 75e6, heaps: 55e6 };

/** A piece of the vocabulary in the tokenizer's tables and in those that turn tokens into text. */
const bytesPerPiece = 300;

/** Scratch of the widest layer for one chunk of a prompt, in numbers a token; the runtime keeps it. */
const chunkTokens = 128;

/** Bytes of the cached keys and values of one token. */
function cacheBytesPerToken(shape: Pick<ServedShape, 'layers' | 'kvHeads' | 'headSize'>): number {
  return shape.layers * 2 * shape.kvHeads * shape.headSize * 4;
}

/** Resident bytes of a process that serves the model, with so many tokens in its cache. */
export function servedMemory(shape: ServedShape, tokens: number): number {
  return fixedBytes.program + leastMemory(shape, tokens);
}

/** Of these, the bytes that the system cannot take back: with less the process cannot live. */
export function leastMemory(shape: ServedShape, tokens: number): number {
  const { vocabularySize, width, heads, intermediateSize, weightBytes } = shape;
  const scratch = chunkTokens * 4 * (4 * intermediateSize + 6 * width + heads * tokens);
  return (
    fixedBytes.heaps +
    vocabularySize * bytesPerPiece +
    weightBytes +
    cacheBytesPerToken(shape) * tokens +
    scratch
  );
}

export function servedShapeOf(manifest: Manifest): ServedShape {
  const weightBytes = manifest.weights.reduce((sum, blob) => sum + blob.bytes, 0);
  return { ...manifest.dimensions, layers: manifest.layers.length, weightBytes };
}

/** As `servedMemory`, of a folded model. */
export function servedMemoryOf(manifest: Manifest, tokens: number): number {
  return servedMemory(servedShapeOf(manifest), tokens);
}
