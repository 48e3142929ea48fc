import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { checkSpace, defaultCacheFolder } from '../cache.ts';
import { InvalidDataError } from '../errors.ts';
import { graphsOf } from '../manifest.ts';
import { copyPrefixes } from '../prefixes/publish.ts';
import { statIfThere } from '../store/atomic-file.ts';
import type { Store } from '../store/store.ts';
import { blobKey } from './layout.ts';
import { type BlobSource, type PublishOptions, publishFrom } from './publish.ts';
import { readManifest } from './read.ts';

const folderPrefix = 'copy-';

/** Folders of copies whose process was killed, in milliseconds since something last happened in them. */
const abandonedAfterMs = 24 * 60 * 60 * 1000;

export interface CopyOptions extends PublishOptions {
  /** Blobs on their way between two remote stores lie here for a moment. @default the cache folder */
  temporaryFolder?: string | undefined;
}

/** A model in a store. */
export interface ModelAddress {
  store: Store;
  name: string;
}

/**
 * Copies the current version of a model with its prefixes, to another store or under another name. Blobs that the target
 * holds already are not moved, so an interrupted copy is resumed by running it again.
 * @returns the version's sha256 in the target; the same as in the source unless the name differs.
 * @throws NotFoundError, InvalidDataError as `readManifest` and `publish` do.
 */
export async function copyModel(
  from: ModelAddress,
  to: ModelAddress,
  { temporaryFolder = defaultCacheFolder(), ...options }: CopyOptions = {},
): Promise<string> {
  const { manifest } = await readManifest(from.store, from.name, options);
  await mkdir(temporaryFolder, { recursive: true });
  await removeAbandoned(temporaryFolder);
  const folder = await mkdtemp(join(temporaryFolder, folderPrefix));
  const source: BlobSource = {
    async withFile(blob, use, signal) {
      const key = blobKey(blob.sha256);
      const local = from.store.localPath(key);
      if (local !== undefined) {
        if ((await statIfThere(local)) === undefined) {
          throw new InvalidDataError(
            `Blob ${blob.sha256} of ${from.name} is missing in ${from.store.url}. ` +
              'Run "foldgate verify" on it and publish it again.',
          );
        }
        return await use(local);
      }
      const path = join(folder, blob.sha256);
      await checkSpace(folder, [blob]);
      await from.store.download(key, path, blob, { signal });
      try {
        await use(path);
      } finally {
        await rm(path, { force: true });
      }
    },
  };
  try {
    const version = await publishFrom(to.store, to.name, manifest, source, options);
    await copyPrefixes(from, to, graphsOf(manifest), source, options);
    return version;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function removeAbandoned(temporaryFolder: string): Promise<void> {
  for (const name of await readdir(temporaryFolder)) {
    if (!name.startsWith(folderPrefix)) continue;
    const path = join(temporaryFolder, name);
    const info = await statIfThere(path);
    if (info === undefined || Date.now() - Number(info.mtimeMs) < abandonedAfterMs) continue;
    await rm(path, { recursive: true, force: true });
  }
}
