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
 * unbroken beginning of the file: what arrives right there is hashed on its way to the disk, what came before
 * its turn is read back when that comes, so none has to be kept.
 * @returns the digest of what was written.
 */
export async function fetchRanges(
  open: OpenRange,
  bytes: number,
  file: FileHandle,
  { rangeBytes, parallel, signal, onProgress }: TransferOptions & { rangeBytes: number; parallel: number },
): Promise<Digest> {
  await file.truncate(bytes);
  const starts = Array.from({ length: Math.ceil(bytes / rangeBytes) }, (_, index) => index * rangeBytes);
  const hash = new FollowingHash(file, starts, rangeBytes);
  const fetchOne = async (start: number, signal: AbortSignal) => {
    let at = start;
    const writer = new RangeWriter(file, start, (end) => hash.written(end));
    try {
      for await (const chunk of readRange(open, start, Math.min(bytes, start + rangeBytes), signal)) {
        hash.offer(chunk, at);
        at += chunk.length;
        await writer.push(chunk);
        onProgress?.(chunk.length);
      }
    } finally {
      await writer.end();
    }
    await hash.follow();
  };
  await mapConcurrently(starts, parallel, fetchOne, signal);
  await hash.follow(); // what was written while the last look was being taken
  return { sha256: hash.digest(), bytes };
}

/** The hash of a file that is written in several places at once. */
class FollowingHash {
  readonly #hash = createHash('sha256');
  readonly #file: FileHandle;
  readonly #rangeBytes: number;
  /** Up to where each range is written. */
  readonly #written: number[];
  /** Up to where the file is hashed. */
  #hashed = 0;
  #following: Promise<void> | undefined;

  constructor(file: FileHandle, starts: readonly number[], rangeBytes: number) {
    this.#file = file;
    this.#rangeBytes = rangeBytes;
    this.#written = [...starts];
  }

  /** Bytes on their way to `at`; hashed where they are the next ones. */
  offer(chunk: Uint8Array, at: number): void {
    if (at !== this.#hashed || this.#following) return;
    this.#hash.update(chunk);
    this.#hashed += chunk.length;
  }

  /** The range that ends at `end`, or has come up to there, is on the disk so far. */
  written(end: number): void {
    this.#written[Math.floor((end - 1) / this.#rangeBytes)] = end;
  }

  /** Hashes what is written next to what is hashed, until it comes to something that is still to arrive. */
  follow(): Promise<void> {
    this.#following ??= this.#readOn().finally(() => {
      this.#following = undefined;
    });
    return this.#following;
  }

  async #readOn(): Promise<void> {
    const buffer = Buffer.allocUnsafe(hashBytes);
    for (;;) {
      const end = this.#written[Math.floor(this.#hashed / this.#rangeBytes)] ?? 0;
      if (this.#hashed >= end) return;
      const length = Math.min(buffer.length, end - this.#hashed);
      const { bytesRead } = await this.#file.read(buffer, 0, length, this.#hashed);
      if (bytesRead === 0) throw new Error('The file being written was truncated by someone else.');
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.#hashed += bytesRead;
    }
  }

  digest(): string {
    return this.#hash.digest('hex');
  }
}

/** Bytes that a range may be ahead of the disk. */
const queueBytes = 512 * 1024;

/** Writes what arrives for one range: all that came while the disk was busy in one call. */
class RangeWriter {
  readonly #file: FileHandle;
  readonly #onWritten: (end: number) => void;
  #at: number;
  #queue: Uint8Array[] = [];
  #queued = 0;
  #writing: Promise<void> | undefined;

  constructor(file: FileHandle, start: number, onWritten: (end: number) => void) {
    this.#file = file;
    this.#at = start;
    this.#onWritten = onWritten;
  }

  /** @throws the disk's errors, of this chunk or an earlier one */
  async push(chunk: Uint8Array): Promise<void> {
    this.#queue.push(chunk);
    this.#queued += chunk.length;
    if (!this.#writing) {
      this.#writing = this.#writeOn();
      this.#writing.catch(() => {}); // thrown where it is waited for, at the end at the latest
    }
    if (this.#queued > queueBytes) await this.#writing;
  }

  /** Waits until all is written. @throws as `push` */
  async end(): Promise<void> {
    await this.#writing;
  }

  async #writeOn(): Promise<void> {
    while (this.#queue.length > 0) {
      const chunks = this.#queue;
      this.#queue = [];
      this.#queued = 0;
      await this.#writeAll(chunks);
      this.#onWritten(this.#at);
    }
    this.#writing = undefined;
  }

  async #writeAll(chunks: Uint8Array[]): Promise<void> {
    for (let left = chunks; left.length > 0; ) {
      const { bytesWritten } = await this.#file.writev(left, this.#at);
      this.#at += bytesWritten;
      left = rest(left, bytesWritten);
    }
  }
}

/** What is left of the chunks when so many bytes of them are written. */
function rest(chunks: Uint8Array[], written: number): Uint8Array[] {
  let skip = written;
  const whole = chunks.findIndex((chunk) => {
    if (skip < chunk.length) return true;
    skip -= chunk.length;
    return false;
  });
  return whole < 0 ? [] : [chunks[whole]!.subarray(skip), ...chunks.slice(whole + 1)];
}

function endedEarly(missing: number): Error {
  return Object.assign(new Error(`The connection ended ${missing} bytes early.`), { name: 'NetworkError' });
}
