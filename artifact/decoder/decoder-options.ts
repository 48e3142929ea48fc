import { dirname, join } from 'node:path';
import { UsageError } from '../errors.ts';
import { type Blob, cachedLayers, type Manifest } from '../manifest.ts';
import type { SessionOptions } from '../onnxruntime/session.ts';

/**
 * Prompt tokens that a server reads at once: bounds how long a long prompt stalls the running sequences, and the
 * runtime's scratch memory, which it keeps (a 0.5B model: 32 MB less than with 256).
 */
export const promptChunk = 128;

/** What keys and values are kept in: as they are, or as codes with a scale for each channel of each head. */
export const cacheTypes = ['float32', 'int8'] as const;
export type CacheType = (typeof cacheTypes)[number];

/** A cache's numbers in memory. */
export type CacheArray = Float32Array | Int8Array;

/** The arrays of each type. */
export const cacheArrays = { float32: Float32Array, int8: Int8Array } as const;

export interface CacheShape {
  type: CacheType;
  /** Those that attend to earlier tokens. */
  layers: number;
  kvHeads: number;
  headSize: number;
  /** Tokens a sequence may hold. */
  capacity: number;
}

/** The halves of a layer's cache, as the graph names them. */
export const cacheParts = ['key', 'value'] as const;
export type CachePart = (typeof cacheParts)[number];

/** How keys and values lie in memory: what one process computed, another reads only where this is the same. */
export interface CacheForm {
  elementType: CacheType;
  /** One of keys and one of values for each cache that the graph has. */
  arrays: number;
  kvHeads: number;
  headSize: number;
}

export function cacheForm({ type, layers, kvHeads, headSize }: Omit<CacheShape, 'capacity'>): CacheForm {
  return { elementType: type, arrays: layers * cacheParts.length, kvHeads, headSize };
}

/** Bytes of the keys and values of so many tokens. */
export function cacheBytes({ elementType, arrays, kvHeads, headSize }: CacheForm, tokens: number): number {
  return arrays * kvHeads * tokens * headSize * cacheArrays[elementType].BYTES_PER_ELEMENT;
}

/** Bytes that one token's keys and values take over all layers. */
export function bytesPerToken(shape: Omit<CacheShape, 'capacity'>): number {
  return cacheBytes(cacheForm(shape), 1);
}

export interface DecoderOptions extends SessionOptions {
  graphPath: string;
  /** Of the graph that reads prompts by weights of their own. @default `graphPath`, with the same weights */
  readerPath?: string | undefined;
  cache: CacheShape;
  vocabularySize: number;
}

/**
 * What the decoder needs to know of a model.
 * @param manifest where it has weights for prompts, prompts are read by them
 * @param graphPath the model's graph, its blobs beside it
 * @param type what keys and values are kept in
 * @throws UsageError for an int8 cache of a model that has no scales for it
 */
export function decoderOptions(
  manifest: Manifest,
  graphPath: string,
  capacity: number,
  type: CacheType = 'float32',
): DecoderOptions {
  const { vocabularySize, kvHeads, headSize } = manifest.dimensions;
  const pathOf = ({ sha256 }: Blob) => join(dirname(graphPath), sha256);
  return {
    graphPath: pathOf(graphOf(manifest, type)),
    ...(manifest.promptWeights && { readerPath: pathOf(readerOf(manifest, type)) }),
    vocabularySize,
    cache: { type, layers: cachedLayers(manifest.layers), kvHeads, headSize, capacity },
  };
}

/**
 * The graph that keeps keys and values in this type.
 * @throws UsageError where the model has none
 */
export function graphOf({ name, graph, int8Cache }: Manifest, type: CacheType = 'float32'): Blob {
  return type === 'float32' ? graph : (int8Cache?.graph ?? withoutScales(name));
}

/**
 * The graph whose keys and values of prompts are in this type: as `graphOf`, where the model has no weights for prompts.
 * @throws UsageError where the model has none
 */
export function readerOf(manifest: Manifest, type: CacheType = 'float32'): Blob {
  const { name, promptWeights } = manifest;
  if (!promptWeights) return graphOf(manifest, type);
  return type === 'float32' ? promptWeights.graph : (promptWeights.int8CacheGraph ?? withoutScales(name));
}

function withoutScales(name: string): never {
  throw new UsageError(
    `${name} has no scales for an int8 cache of keys and values: it was folded without. Fold it again ` +
      '(foldgate fold), or leave --kv-cache at float32.',
  );
}
