import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultCacheFolder } from './cache.ts';
import { blobFolder } from './cache-use.ts';
import { type Blob, blobsOf, type Manifest } from './manifest.ts';
import { blobKey } from './models/layout.ts';
import { isMissing } from './store/atomic-file.ts';
import { digestOf, fileChunks } from './store/digest.ts';
import type { CallOptions, Store } from './store/store.ts';

export interface CacheCheckOptions extends CallOptions {
  /** @default as for `fetchModel` */
  cacheFolder?: string | undefined;
  /** Blobs that need no look: they were checked when they arrived. @default none */
  except?: ReadonlySet<string> | undefined;
}

/**
 * Reads a model's cached blobs and removes those whose bytes are not what their names say: a disk lost some, or
 * somebody wrote to them. The next fetch brings them again. Blobs that are used where a store has them stay.
 * @returns the removed ones
 */
export async function removeDamagedBlobs(
  store: Store,
  manifest: Manifest,
  { cacheFolder = defaultCacheFolder(), except, signal }: CacheCheckOptions = {},
): Promise<Blob[]> {
  if (store.localPath(blobKey(manifest.graph.sha256)) !== undefined) return [];
  const damaged: Blob[] = [];
  for (const blob of blobsOf(manifest)) {
    if (except?.has(blob.sha256)) continue;
    const path = join(blobFolder(cacheFolder), blob.sha256);
    if (await isWhole(path, blob, signal)) continue;
    await rm(path, { force: true });
    damaged.push(blob);
  }
  return damaged;
}

/** Also where it is not there. */
async function isWhole(path: string, blob: Blob, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    return (await digestOf(fileChunks(path), { signal })).sha256 === blob.sha256;
  } catch (error) {
    if (isMissing(error)) return true;
    throw error;
  }
}
