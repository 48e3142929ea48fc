import { mapConcurrently } from '../concurrency.ts';
import { InvalidDataError } from '../errors.ts';
import { type Blob, blobsOf, type Manifest, parseManifest } from '../manifest.ts';
import { statIfThere } from '../store/atomic-file.ts';
import { sha256 } from '../store/digest.ts';
import type { CallOptions, ObjectInfo, Store, TransferOptions } from '../store/store.ts';
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

/** Where a publication takes its blobs from. */
export interface BlobSource {
  /** Calls `use` with a local file that holds the blob; the file may be gone afterwards. */
  withFile(blob: Blob, use: (path: string) => Promise<void>, signal: AbortSignal | undefined): Promise<void>;
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
  const source: BlobSource = {
    async withFile(blob, use) {
      const path = files.get(blob.sha256);
      if (path === undefined || (await statIfThere(path)) === undefined) {
        throw new InvalidDataError(
          `Blob ${blob.sha256} (${blob.bytes} bytes) is missing or damaged in ${store.url}, and ` +
            `${path ?? 'no file'} was given for it. Export the model again.`,
        );
      }
      await use(path);
    },
  };
  return await publishFrom(store, name, manifest, source, options);
}

/** As `publish`, with each blob asked for when the store lacks it. */
export async function publishFrom(
  store: Store,
  name: string,
  manifest: Manifest,
  source: BlobSource,
  options: PublishOptions = {},
): Promise<string> {
  checkModelName(name);
  const bytes = formatManifest({ ...manifest, name });
  const { signal } = options;
  const blobs = blobsOf(parseManifest(bytes, `The manifest of ${name}`));
  await mapConcurrently(
    blobs,
    parallelBlobs,
    (blob, signal) => ensureBlob(store, blob, source, { ...options, signal }),
    signal,
  );

  const version = sha256(bytes);
  const key = manifestKey(name, version);
  if (!(await store.write(key, bytes, { ifAbsent: true, signal }))) {
    // It may be an old version that comes back. Should a collection have just taken it: write it again.
    const found = await store.head(key, { signal });
    if (found === undefined || !(await keepFresh(store, found, signal)))
      await store.write(key, bytes, { signal });
  }
  // From here on a garbage collection sees the manifest and spares its blobs. One that ran until now may
  // have taken an old blob after it was found above: look once more before anybody can read the model.
  await mapConcurrently(
    blobs,
    parallelBlobs,
    (blob, signal) => ensureBlob(store, blob, source, { signal }),
    signal,
  );
  await point(store, name, version, { signal });
  return version;
}

/** Two spaces of indentation: a manifest is made to be read. */
function formatManifest(manifest: Manifest): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`);
}

/** Uploads a blob that the store lacks, or has damaged; makes one that it has count as young. */
export async function ensureBlob(
  store: Store,
  blob: Blob,
  source: BlobSource,
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
  if (!intact || !(await keepFresh(store, found, signal))) {
    const options = { ifAbsent: found === undefined, onProgress: progress, signal };
    const upload = async (path: string) => void (await store.upload(key, path, blob, options));
    await source.withFile(blob, upload, signal);
  }
  if (reported < blob.bytes) onProgress?.(blob.bytes - reported);
}

/** Touches an old blob. @returns false where it was gone by then. */
async function keepFresh(store: Store, found: ObjectInfo, signal: AbortSignal | undefined): Promise<boolean> {
  if (Date.now() - found.modified.getTime() < touchAfterMs) return true;
  return await store.touch(found.key, { signal });
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
