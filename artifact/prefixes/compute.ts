import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { Decoder } from '../decoder/decoder.ts';
import {
  type CacheType,
  cacheForm,
  decoderOptions,
  promptChunk,
  readerOf,
} from '../decoder/decoder-options.ts';
import type { KvSnapshot } from '../decoder/kv-cache.ts';
import { UsageError } from '../errors.ts';
import type { Blob, Manifest } from '../manifest.ts';
import { type PrefixEntry, prefixSchemaVersion } from './entry.ts';

export interface ComputeOptions {
  threads: number;
  /** What keys and values are kept in. @default 'float32' */
  kvCache?: CacheType | undefined;
  /** Of this Foldgate. */
  version: string;
  signal?: AbortSignal | undefined;
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Reads tokens as the model reads prompts, chunk by chunk as the server does, and writes their keys and values to a file.
 * An odd last token is left out: the server takes prompts up two tokens at a time.
 * @throws UsageError for fewer than two tokens, more than the model's context, or an int8 cache that it has no scales for
 */
export async function computePrefix(
  { manifest, graphPath }: { manifest: Manifest; graphPath: string },
  tokens: readonly number[],
  file: string,
  { threads, kvCache, version, signal, onProgress }: ComputeOptions,
): Promise<PrefixEntry> {
  const whole = Int32Array.from(tokens.slice(0, tokens.length - (tokens.length % 2)));
  const { contextLength } = manifest.dimensions;
  if (whole.length === 0 || whole.length >= contextLength) {
    throw new UsageError(
      `The prefix has ${tokens.length} tokens; from 2 to less than the context's ${contextLength} are expected.`,
    );
  }
  const options = { ...decoderOptions(manifest, graphPath, whole.length, kvCache), threads };
  const decoder = new Decoder(options);
  try {
    const cache = decoder.newCache();
    const begun = performance.now();
    for (let at = 0; at < whole.length; at += promptChunk) {
      signal?.throwIfAborted();
      decoder.read(cache, whole.subarray(at, at + promptChunk));
      onProgress?.(Math.min(at + promptChunk, whole.length), whole.length);
    }
    const computeMs = performance.now() - begun;
    const blob = await writeSnapshot(cache.save(0), file);
    return {
      schemaVersion: prefixSchemaVersion,
      tokens: [...whole],
      graph: readerOf(manifest, kvCache).sha256,
      cache: cacheForm(options.cache),
      blob,
      computeMs,
      createdAt: new Date().toISOString(),
      version,
    };
  } finally {
    decoder[Symbol.dispose]();
  }
}

async function writeSnapshot(snapshot: KvSnapshot, path: string): Promise<Blob> {
  const hash = createHash('sha256');
  const file: FileHandle = await open(path, 'w');
  try {
    for (const { buffer, byteOffset, byteLength } of snapshot.data) {
      const bytes = new Uint8Array(buffer, byteOffset, byteLength);
      hash.update(bytes);
      await file.writeFile(bytes);
    }
  } finally {
    await file.close();
    snapshot[Symbol.dispose]();
  }
  return { sha256: hash.digest('hex'), bytes: snapshot.bytes };
}
