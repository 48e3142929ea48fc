import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { mapConcurrently } from '../concurrency.ts';
import { withResource } from '../dispose.ts';
import { checkDigest } from './digest.ts';
import type { Digest, TransferOptions } from './store.ts';

/** S3 numbers the parts of an upload from 1 to this. */
const maxParts = 10_000;

interface SendOptions extends TransferOptions {
  partBytes: number;
  parallel: number;
}

/**
 * Sends a file in numbered parts, several at a time. They are read and hashed in order, so that at the end
 * it is known whether what was sent is what was meant.
 * @returns what `send` returned, in the order of the parts.
 * @throws InvalidDataError where the file is not `expected`; the upload must then be thrown away.
 */
export async function sendParts<Part>(
  path: string,
  expected: Digest,
  send: (number: number, bytes: Buffer, signal: AbortSignal) => Promise<Part>,
  options: SendOptions,
): Promise<Part[]> {
  const file = await open(path);
  return await withResource(file, () => sendPartsOf(file, path, expected, send, options));
}

async function sendPartsOf<Part>(
  file: FileHandle,
  path: string,
  expected: Digest,
  send: (number: number, bytes: Buffer, signal: AbortSignal) => Promise<Part>,
  { partBytes, parallel, signal, onProgress }: SendOptions,
): Promise<Part[]> {
  const size = partSize(expected.bytes, partBytes);
  const count = Math.max(1, Math.ceil(expected.bytes / size));
  const hash = createHash('sha256');
  let read = 0;
  let reading: Promise<Buffer> = Promise.resolve(Buffer.alloc(0));
  // Chained, so that the parts are read in order although several senders ask.
  const next = (number: number) => {
    reading = reading.then(async () => {
      const wanted = Math.min(size, expected.bytes - (number - 1) * size);
      const bytes = await readFully(file, wanted, (number - 1) * size);
      hash.update(bytes);
      read += bytes.length;
      return bytes;
    });
    return reading;
  };

  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  const sendOne = async (number: number, signal: AbortSignal) => {
    const bytes = await next(number);
    const part = await send(number, bytes, signal);
    onProgress?.(bytes.length);
    return part;
  };
  const parts = await mapConcurrently(numbers, parallel, sendOne, signal);
  const { size: actualBytes } = await file.stat();
  checkDigest(
    path,
    { sha256: hash.digest('hex'), bytes: read === expected.bytes ? actualBytes : read },
    expected,
  );
  return parts;
}

/** The wanted size, or more where the file would need too many parts. */
export function partSize(bytes: number, wanted: number): number {
  return Math.max(wanted, Math.ceil(bytes / maxParts));
}

async function readFully(
  file: {
    read: (buffer: Buffer, offset: number, length: number, at: number) => Promise<{ bytesRead: number }>;
  },
  length: number,
  position: number,
): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(buffer, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}
