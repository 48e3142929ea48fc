import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { mapConcurrently } from '../concurrency.ts';
import { Retry } from './retry.ts';
import type { Digest, TransferOptions } from './store.ts';

/** Opens bytes `start` to `end` (exclusive) of one unchanging object. */
export type OpenRange = (
  start: number,
  end: number,
  signal: AbortSignal | undefined,
) => Promise<AsyncIterable<Uint8Array>>;

/** Bytes of one read from the file that is being hashed. */
const hashBytes = 1024 * 1024;

/**
 * Bytes `start` to `end` in order. A connection that breaks is opened again where it stopped, so nothing
 * is transferred twice.
 */
export async function* readRange(
  open: OpenRange,
  start: number,
  end: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const retry = new Retry();
  let at = start;
  while (at < end) {
    try {
      for await (const chunk of await open(at, end, signal)) {
        at += chunk.length;
        retry.progressed();
        yield chunk;
        signal?.throwIfAborted();
      }
      if (at < end) throw endedEarly(end - at);
    } catch (error) {
      await retry.after(error, signal);
    }
  }
}

/**
 * Fetches an object of `bytes` bytes into `file`, in ranges that arrive side by side. The hash follows the
 * unbroken beginning of the file: it reads back what was just written, which is still in memory, so ranges
 * may arrive in any order and none has to be kept.
 * @returns the digest of what was written.
 */
export async function fetchRanges(
  open: OpenRange,
  bytes: number,
  file: FileHandle,
  { rangeBytes, parallel, signal, onProgress }: TransferOptions & { rangeBytes: number; parallel: number },
): Promise<Digest> {
  await file.truncate(bytes);
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(Math.min(hashBytes, bytes));
  const complete = new Set<number>();
  let hashed = 0;
  const hashOn = async () => {
    for (; complete.has(hashed); hashed += rangeBytes) {
      const end = Math.min(bytes, hashed + rangeBytes);
      for (let at = hashed; at < end; ) {
        const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - at), at);
        if (bytesRead === 0) throw new Error('The file being written was truncated by someone else.');
        hash.update(buffer.subarray(0, bytesRead));
        at += bytesRead;
      }
    }
  };
  let hashing = Promise.resolve();

  const starts = Array.from({ length: Math.ceil(bytes / rangeBytes) }, (_, index) => index * rangeBytes);
  const fetchOne = async (start: number, signal: AbortSignal) => {
    let at = start;
    for await (const chunk of readRange(open, start, Math.min(bytes, start + rangeBytes), signal)) {
      await writeAll(file, chunk, at);
      at += chunk.length;
      onProgress?.(chunk.length);
    }
    complete.add(start);
    hashing = hashing.then(hashOn);
    await hashing;
  };
  await mapConcurrently(starts, parallel, fetchOne, signal);
  return { sha256: hash.digest('hex'), bytes };
}

async function writeAll(file: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    const { bytesWritten } = await file.write(chunk, at, chunk.length - at, position + at);
    at += bytesWritten;
  }
}

function endedEarly(missing: number): Error {
  return Object.assign(new Error(`The connection ended ${missing} bytes early.`), { name: 'NetworkError' });
}
