import { mapConcurrently } from '../concurrency.ts';
import { InvalidDataError } from '../errors.ts';
import { type Blob, blobsOf, type Manifest, parseManifest } from '../manifest.ts';
import { sha256 } from '../store/digest.ts';
import type { CallOptions, Store, TransferOptions } from '../store/store.ts';
import { blobKey, checkModelName, formatPointer, manifestKey, pointerKey } from './layout.ts';
import { readPointer } from './read.ts';

/** Blobs in flight. The S3 driver bounds its requests itself; this keeps small blobs from queueing up. */
const parallelBlobs = 4;

/** A blob found in the store that is older than this, in milliseconds, is touched before it is relied on. */
const touchAfterMs = 60 * 60 * 1000;

export interface PublishOptions extends TransferOptions {
  /** Writes blobs that are there already too: repairs a store whose blobs were damaged. @default false */
  rewrite?: boolean | undefined;
}

/**
 * Publishes a folded model under `name`: blobs first, then the manifest, the pointer last, so that a reader
 * sees the old model or the new one, whole. What is there already is skipped, so an interrupted publication
 * is resumed by running it again. `onProgress` adds up to the bytes of all blobs, skipped ones included.
 * @param files where each blob lies, by sha256; blobs that the store holds already may be left out.
 * @returns the sha256 of the manifest, which identifies this version.
 * @throws InvalidDataError for a manifest or a file that is not what it claims, or a blob without a file.
 */
export async function publish(
  store: Store,
  name: string,
  manifest: Manifest,
  files: ReadonlyMap<string, string>,
  options: PublishOptions = {},
): Promise<string> {
  checkModelName(name);
  const bytes = formatManifest({ ...manifest, name });
  const { signal } = options;
  const blobs = blobsOf(parseManifest(bytes, `The manifest of ${name}`));
  await mapConcurrently(
    blobs,
    parallelBlobs,
    (blob, signal) => ensureBlob(store, blob, files.get(blob.sha256), { ...options, signal }),
    signal,
  );

  const version = sha256(bytes);
  await store.write(manifestKey(name, version), bytes, { ifAbsent: true, signal });
  await store.touch(manifestKey(name, version), { signal });
  // From here on a garbage collection sees the manifest and spares its blobs. One that ran until now may
  // have taken an old blob after it was found above: look once more before anybody can read the model.
  await mapConcurrently(
    blobs,
    parallelBlobs,
    (blob, signal) => ensureBlob(store, blob, files.get(blob.sha256), { signal }),
    signal,
  );
  await point(store, name, version, { signal });
  return version;
}

/** Two spaces of indentation: a manifest is made to be read. */
export function formatManifest(manifest: Manifest): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`);
}

async function ensureBlob(
  store: Store,
  blob: Blob,
  file: string | undefined,
  { signal, onProgress, rewrite }: PublishOptions,
): Promise<void> {
  const key = blobKey(blob.sha256);
  let reported = 0;
  const progress = (bytes: number) => {
    reported += bytes;
    onProgress?.(bytes);
  };
  const found = await store.head(key, { signal });
  // A blob of another size is damaged (a foreign tool, a full disk) and is written again.
  const intact = found?.bytes === blob.bytes && !rewrite;
  if (!intact || (await isForgotten(store, found, signal))) {
    if (file === undefined) throw new InvalidDataError(withoutFile(store, blob, found !== undefined));
    await store.upload(key, file, blob, { ifAbsent: found === undefined, onProgress: progress, signal });
  }
  if (reported < blob.bytes) onProgress?.(blob.bytes - reported);
}

/** Touches an old blob; true where it was gone by then. */
async function isForgotten(
  store: Store,
  found: { key: string; modified: Date } | undefined,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (found === undefined) return true;
  if (Date.now() - found.modified.getTime() < touchAfterMs) return false;
  return !(await store.touch(found.key, { signal }));
}

function withoutFile(store: Store, blob: Blob, damaged: boolean): string {
  const state = damaged ? 'is damaged' : 'is not there';
  return (
    `Blob ${blob.sha256} (${blob.bytes} bytes) ${state} in ${store.url}, and no file with it was given. ` +
    'Export the model again, or copy it from a store that holds it.'
  );
}

async function point(store: Store, name: string, version: string, { signal }: CallOptions): Promise<void> {
  const current = await readPointer(store, name, { signal }).catch((error: unknown) => {
    if (error instanceof InvalidDataError) return undefined; // A broken pointer is replaced.
    throw error;
  });
  if (current?.manifest === version) return;
  const pointer = { manifest: version, publishedAt: new Date().toISOString() };
  await store.write(pointerKey(name), formatPointer(pointer), { signal });
}
