import { setTimeout as sleep } from 'node:timers/promises';
import { sendParts } from './parts.ts';
import { retrying } from './retry.ts';
import type { S3Bucket } from './s3.ts';
import { nameOf } from './s3-errors.ts';
import type { Digest, TransferOptions } from './store.ts';

const parallelParts = 4;

/** How often an upload is aborted before the rest is left to `abortOrphans`, and the time in between. */
const maxAborts = 6;
const abortDelayMs = 200;

/** How long a beginning upload's name is waited for after a signal. */
const graceMs = 5000;

/**
 * Uploads a file in parts. Where that fails, for whatever reason, the parts are thrown away: they cost money
 * until somebody does. `key` is the bucket's own, prefix included.
 * @throws errors of the S3 client; 412 where `ifAbsent` met an object.
 */
export async function uploadMultipart(
  bucket: S3Bucket,
  key: string,
  path: string,
  expected: Digest,
  { ifAbsent, partBytes, signal, onProgress }: TransferOptions & { ifAbsent: boolean; partBytes: number },
): Promise<void> {
  const id = await beginUpload(bucket, key, signal);
  try {
    signal?.throwIfAborted();
    const parts = await sendParts(
      path,
      expected,
      (number, bytes, signal) => retrying(() => bucket.putPart(key, id, number, bytes, signal), signal),
      { partBytes, parallel: parallelParts, signal, onProgress },
    );
    await retrying(() => bucket.completeUpload(key, id, parts, ifAbsent, signal), signal);
  } catch (error) {
    // The first answer to "complete" may have been lost on the way: then a second try finds no upload.
    if (nameOf(error) === 'NoSuchUpload') {
      const info = await bucket.head(key, signal).catch(() => undefined);
      if (info?.bytes === expected.bytes) return;
    }
    await abortForGood(bucket, key, id).catch(() => {}); // `abortOrphans` finds it later.
    throw error;
  }
}

/** The answer names the upload: whoever does not wait for it leaves one that nobody can abort. */
async function beginUpload(bucket: S3Bucket, key: string, signal: AbortSignal | undefined): Promise<string> {
  const late = new AbortController();
  const stop = () => setTimeout(() => late.abort(signal?.reason), graceMs).unref();
  signal?.throwIfAborted();
  signal?.addEventListener('abort', stop, { once: true });
  try {
    return await retrying(() => bucket.beginUpload(key, late.signal), signal);
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/** @returns false where there was no such upload. */
export async function abortUpload(
  bucket: S3Bucket,
  key: string,
  id: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    await bucket.abortUpload(key, id, signal);
    return true;
  } catch (error) {
    if (nameOf(error) === 'NoSuchUpload') return false;
    throw error;
  }
}

/**
 * A part that the server was still taking in can bring an aborted upload back: looks until it was gone twice
 * in a row. Takes no signal, since a signal may be what stopped the upload.
 */
async function abortForGood(bucket: S3Bucket, key: string, id: string): Promise<void> {
  let gone = 0;
  for (let attempt = 1; attempt <= maxAborts && gone < 2; attempt++) {
    if (attempt > 1) await sleep(abortDelayMs);
    gone = (await abortUpload(bucket, key, id, undefined)) ? 0 : gone + 1;
  }
}
