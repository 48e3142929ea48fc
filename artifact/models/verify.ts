import { mapConcurrently } from '../concurrency.ts';
import { NotFoundError } from '../errors.ts';
import { type Blob, blobsOf, graphsOf } from '../manifest.ts';
import { readPrefixes } from '../prefixes/read.ts';
import { digestProblem } from '../store/digest.ts';
import type { Store, TransferOptions } from '../store/store.ts';
import { blobKey } from './layout.ts';
import { readManifest } from './read.ts';

/** Blobs read at the same time. */
const parallelBlobs = 4;

export interface Verification {
  /** The sha256 of the manifest. */
  version: string;
  /** Blobs that were read, and their bytes. */
  blobs: number;
  bytes: number;
  broken: { sha256: string; problem: string }[];
}

/**
 * Reads every blob of a model and of its prefixes again and compares size and sha256. The manifest is compared with its own
 * name on the way. `onProgress` adds up to the bytes read.
 * @throws NotFoundError; InvalidDataError where pointer, manifest or an entry of a prefix are damaged.
 */
export async function verify(
  store: Store,
  name: string,
  options: TransferOptions = {},
): Promise<Verification> {
  const { manifest, digest: version } = await readManifest(store, name, options);
  const prefixes = await readPrefixes(store, name, graphsOf(manifest), options);
  const blobs = [...blobsOf(manifest), ...prefixes.map(({ blob }) => blob)];
  const check = async (blob: Blob, signal: AbortSignal) => ({
    sha256: blob.sha256,
    problem: await problemOf(store, blob, { ...options, signal }),
  });
  const checked = await mapConcurrently(blobs, parallelBlobs, check, options.signal);
  return {
    version,
    blobs: blobs.length,
    bytes: blobs.reduce((sum, blob) => sum + blob.bytes, 0),
    broken: checked.flatMap(({ sha256, problem }) => (problem === undefined ? [] : [{ sha256, problem }])),
  };
}

async function problemOf(store: Store, blob: Blob, options: TransferOptions): Promise<string | undefined> {
  try {
    return digestProblem(await store.digest(blobKey(blob.sha256), options), blob);
  } catch (error) {
    if (error instanceof NotFoundError) return 'is missing.';
    throw error;
  }
}
