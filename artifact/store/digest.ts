import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { InvalidDataError } from '../errors.ts';
import type { Digest, TransferOptions } from './store.ts';

/** Bytes of one read: large enough that the calls cost nothing, small enough to stay in the cache. */
const readBytes = 1024 * 1024;

/** Lower-case hex. */
export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/**
 * The digest of everything in `chunks`; `sink` sees each chunk in order.
 * @throws AbortError between two chunks.
 */
export async function digestOf(
  chunks: AsyncIterable<Uint8Array>,
  { signal, onProgress }: TransferOptions = {},
  sink?: (chunk: Uint8Array) => Promise<void>,
): Promise<Digest> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of chunks) {
    signal?.throwIfAborted();
    hash.update(chunk);
    await sink?.(chunk);
    bytes += chunk.length;
    onProgress?.(chunk.length);
  }
  return { sha256: hash.digest('hex'), bytes };
}

/** A local file's bytes, in chunks. */
export function fileChunks(path: string): AsyncIterable<Uint8Array> {
  return createReadStream(path, { highWaterMark: readBytes });
}

/** @throws InvalidDataError where `actual` is not `expected`. */
export function checkDigest(where: string, actual: Digest, expected: Digest): void {
  const problem = digestProblem(actual, expected);
  if (problem !== undefined) throw new InvalidDataError(`${where} ${problem}`);
}

/** What is wrong with `actual`, as the end of a sentence, or undefined. */
export function digestProblem(actual: Digest, expected: Digest): string | undefined {
  if (actual.bytes !== expected.bytes) return `has ${actual.bytes} bytes, expected ${expected.bytes}.`;
  if (actual.sha256 !== expected.sha256) return `has sha256 ${actual.sha256}, expected ${expected.sha256}.`;
  return undefined;
}
