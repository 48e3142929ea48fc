import { mkdir, readdir, rm, statfs } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { noteUse, shrinkCache } from './cache-limit.ts';
import { blobFolder, markInUse } from './cache-use.ts';
import { mapConcurrently } from './concurrency.ts';
import { FoldgateError, InvalidDataError } from './errors.ts';
import { withFileLock } from './file-lock.ts';
import { lineOf } from './line-rate.ts';
import { type Blob, blobsOf, type Manifest } from './manifest.ts';
import { blobKey } from './models/layout.ts';
import { SharedWork } from './shared-work.ts';
import { statIfThere, temporaryPrefix } from './store/atomic-file.ts';
import type { Store, TransferOptions } from './store/store.ts';

/**
 * Blobs in flight. A cold start needs all of them; each is itself fetched in parallel ranges. Blocks of small models
 * have 2 MB: so many of them keep the line busy while this thread has something else to do for a moment.
 */
const parallelBlobs = 16;

/** Temporary and lock files older than this, in milliseconds, belong to processes that died. */
const abandonedAfterMs = 24 * 60 * 60 * 1000;

const lockSuffix = '.lock';

export interface LocalModel {
  /** The ONNX graph; its weights lie beside it, under their sha256. */
  graphPath: string;
  /** The path of one of the model's blobs. */
  file(sha256: string): string;
  /** The files are needed no more: they may go when the cache needs room. Until then they stay. */
  release(): Promise<void>;
}

/** A model whose blobs are on their way: those that are here can be used. */
export interface ArrivingModel extends LocalModel {
  /** Resolves when the blob is on the local disk; rejects where the fetch has failed. */
  arrived(sha256: string): Promise<void>;
  /** Resolves when all are. */
  readonly complete: Promise<void>;
}

export interface FetchOptions extends TransferOptions {
  /** @default $FOLDGATE_CACHE, else the user's cache folder (XDG) / foldgate */
  cacheFolder?: string | undefined;
  /**
   * Bytes that the cache's blobs may take: others' make room, the least recently used first, unless a living
   * process works with them. The model itself comes in, whatever it takes. @default no limit
   */
  cacheBytes?: number | undefined;
  /** Told of each blob that came from the store, and of the milliseconds it took. */
  onFetched?: ((blob: Blob, ms: number) => void) | undefined;
}

/** In this process, two calls that want the same blob share one download. */
const downloads = new SharedWork<void>();

/**
 * Brings a model's blobs to the local disk: into a cache folder, named by their content, each fetched once
 * even when several calls or processes want it at the same time. The blobs of a `file:` store are used where
 * they lie. Sizes are checked on every call, digests at download: a truncated file is fetched again.
 * `onProgress` adds up to the bytes of all blobs, those that were there included.
 * @throws NotFoundError, InvalidDataError for missing or damaged blobs; FoldgateError where the disk is full.
 */
export async function fetchModel(
  store: Store,
  manifest: Manifest,
  options: FetchOptions = {},
): Promise<LocalModel> {
  const model = await beginFetch(store, manifest, options);
  await model.complete;
  return model;
}

/** As `fetchModel`, for those who have a use for some blobs before the others are here. */
export async function beginFetch(
  store: Store,
  manifest: Manifest,
  options: FetchOptions = {},
): Promise<ArrivingModel> {
  const blobs = blobsOf(manifest);
  if (store.localPath(blobKey(manifest.graph.sha256)) !== undefined) {
    const here = Promise.resolve();
    return { ...(await inPlace(store, manifest)), arrived: () => here, complete: here };
  }

  const cacheFolder = options.cacheFolder ?? defaultCacheFolder();
  const folder = blobFolder(cacheFolder);
  const pathOf = (sha256: string) => join(folder, sha256);
  await mkdir(folder, { recursive: true });
  await removeAbandoned(folder);
  // Before any of them is looked for: from here on, no other process removes them.
  const release = await markInUse(
    cacheFolder,
    blobs.map((blob) => blob.sha256),
  );
  const missing: Blob[] = [];
  try {
    await makeRoom();
  } catch (error) {
    await release();
    throw error;
  }
  return { ...localModel(manifest, pathOf, release), ...arrivals(missing, fetch, options.signal) };

  async function makeRoom(): Promise<void> {
    for (const blob of blobs) {
      if (await isThere(pathOf(blob.sha256), blob)) {
        await noteUse(pathOf(blob.sha256));
        options.onProgress?.(blob.bytes);
      } else missing.push(blob);
    }
    if (options.cacheBytes !== undefined) {
      const needed = missing.reduce((sum, blob) => sum + blob.bytes, 0);
      await shrinkCache(cacheFolder, options.cacheBytes - needed);
    }
    await checkSpace(folder, missing);
  }

  function fetch(blob: Blob, signal: AbortSignal): Promise<void> {
    return fetchBlob(store, blob, pathOf(blob.sha256), { ...options, signal });
  }
}

/** Fetches all of `missing`; what is not among them is here. */
function arrivals(
  missing: readonly Blob[],
  fetch: (blob: Blob, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal | undefined,
): Pick<ArrivingModel, 'arrived' | 'complete'> {
  const pending = new Map(missing.map(({ sha256 }) => [sha256, Promise.withResolvers<void>()]));
  const fetchOne = async (blob: Blob, signal: AbortSignal) => {
    await fetch(blob, signal);
    pending.get(blob.sha256)?.resolve();
  };
  const complete = mapConcurrently(missing, parallelBlobs, fetchOne, signal).then(() => {});
  complete.catch((error) => {
    for (const { reject } of pending.values()) reject(error);
  });
  // Not everybody waits for each of them.
  for (const { promise } of pending.values()) promise.catch(() => {});
  return { complete, arrived: (sha256) => pending.get(sha256)?.promise ?? Promise.resolve() };
}

/**
 * Brings one blob to the local disk, as `fetchModel` brings a model's. It is not marked as in use: whoever wants it reads
 * it at once.
 * @returns where it is
 * @throws as `fetchModel`
 */
export async function fetchOne(store: Store, blob: Blob, options: FetchOptions = {}): Promise<string> {
  const inStore = store.localPath(blobKey(blob.sha256));
  if (inStore !== undefined) return inStore;
  const cacheFolder = options.cacheFolder ?? defaultCacheFolder();
  const folder = blobFolder(cacheFolder);
  const path = join(folder, blob.sha256);
  if (await isThere(path, blob)) {
    await noteUse(path);
    return path;
  }
  await mkdir(folder, { recursive: true });
  if (options.cacheBytes !== undefined) await shrinkCache(cacheFolder, options.cacheBytes - blob.bytes);
  await checkSpace(folder, [blob]);
  await fetchBlob(store, blob, path, options);
  return path;
}

/** Whether a blob is on this machine, in the store itself or in the cache, as far as its size tells. */
export async function isAtHand(
  store: Store,
  blob: Blob,
  cacheFolder: string = defaultCacheFolder(),
): Promise<boolean> {
  if (store.localPath(blobKey(blob.sha256)) !== undefined) return true;
  return await isThere(join(blobFolder(cacheFolder), blob.sha256), blob);
}

/** Where blobs are kept when nobody says otherwise. */
export function defaultCacheFolder(): string {
  const { FOLDGATE_CACHE, XDG_CACHE_HOME } = process.env;
  if (FOLDGATE_CACHE) return FOLDGATE_CACHE;
  return join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'foldgate');
}

async function fetchBlob(store: Store, blob: Blob, path: string, options: FetchOptions): Promise<void> {
  let reported = 0;
  const onProgress = (bytes: number) => {
    reported += bytes;
    options.onProgress?.(bytes);
  };
  await downloads.run(
    path,
    (shared) =>
      withFileLock(
        path + lockSuffix,
        async () => {
          if (await isThere(path, blob)) return; // Another process was faster.
          const begun = performance.now();
          const ended = lineOf(store).begin();
          await store.download(blobKey(blob.sha256), path, blob, shared).catch((error) => {
            ended(0);
            throw error;
          });
          ended(blob.bytes);
          options.onFetched?.(blob, performance.now() - begun);
        },
        shared.signal,
      ),
    { signal: options.signal, onProgress },
  );
  if (reported < blob.bytes) options.onProgress?.(blob.bytes - reported);
}

async function inPlace(store: Store, manifest: Manifest): Promise<LocalModel> {
  const pathOf = (sha256: string) => store.localPath(blobKey(sha256)) as string;
  for (const blob of blobsOf(manifest)) {
    if (await isThere(pathOf(blob.sha256), blob)) continue;
    throw new InvalidDataError(
      `${pathOf(blob.sha256)} is missing or is not ${blob.bytes} bytes long. ` +
        `Run "foldgate verify" on ${manifest.name} and publish it again.`,
    );
  }
  return localModel(manifest, pathOf, async () => {});
}

function localModel(
  manifest: Manifest,
  pathOf: (sha256: string) => string,
  release: () => Promise<void>,
): LocalModel {
  const known = new Set(blobsOf(manifest).map((blob) => blob.sha256));
  return {
    graphPath: pathOf(manifest.graph.sha256),
    release,
    file(sha256) {
      if (!known.has(sha256)) throw new RangeError(`${sha256} is no blob of ${manifest.name}.`);
      return pathOf(sha256);
    },
  };
}

async function isThere(path: string, blob: Blob): Promise<boolean> {
  const info = await statIfThere(path);
  return info?.isFile() === true && Number(info.size) === blob.bytes;
}

/** @throws FoldgateError where the folder's disk has no room for the blobs */
export async function checkSpace(folder: string, missing: Blob[]): Promise<void> {
  const needed = missing.reduce((sum, blob) => sum + blob.bytes, 0);
  if (needed === 0) return;
  const { bavail, bsize, blocks } = await statfs(folder);
  if (blocks === 0 || bavail * bsize >= needed) return; // Some network file systems tell nothing.
  const free = Math.floor((bavail * bsize) / 1e6);
  throw new FoldgateError(
    `${Math.ceil(needed / 1e6)} MB are needed in ${folder}, where ${free} MB are free. ` +
      'Make room, or set FOLDGATE_CACHE to a folder with more.',
  );
}

/** Temporary files and locks that processes left behind when they died. */
async function removeAbandoned(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith(temporaryPrefix) && !name.endsWith(lockSuffix)) continue;
    const path = join(folder, name);
    const info = await statIfThere(path);
    if (info === undefined || Date.now() - Number(info.mtimeMs) < abandonedAfterMs) continue;
    await rm(path, { force: true });
  }
}
