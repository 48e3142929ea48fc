import { readdir, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { blobFolder, blobsInUse } from './cache-use.ts';
import { statIfThere } from './store/atomic-file.ts';

export interface CacheUse {
  blobs: number;
  bytes: number;
}

/**
 * Removes blobs of a cache folder, the least recently used first, until the rest take no more than `limitBytes`.
 * What living processes work with stays, even beyond the limit.
 * @param among blobs that the limit is for, by sha256. @default all
 * @returns what was removed and what is left
 */
export async function shrinkCache(
  cacheFolder: string,
  limitBytes: number,
  among?: ReadonlySet<string>,
): Promise<{ removed: CacheUse; left: CacheUse }> {
  const folder = blobFolder(cacheFolder);
  const blobs: { path: string; sha256: string; bytes: number; usedAt: number }[] = [];
  for (const sha256 of await readdir(folder).catch(() => [])) {
    if (!/^[0-9a-f]{64}$/.test(sha256) || among?.has(sha256) === false) continue;
    const path = join(folder, sha256);
    const info = await statIfThere(path);
    if (info) blobs.push({ path, sha256, bytes: Number(info.size), usedAt: Number(info.mtimeMs) });
  }
  const removed: CacheUse = { blobs: 0, bytes: 0 };
  const left: CacheUse = { blobs: blobs.length, bytes: blobs.reduce((sum, { bytes }) => sum + bytes, 0) };
  blobs.sort((a, b) => a.usedAt - b.usedAt);
  const used = left.bytes > limitBytes ? await blobsInUse(cacheFolder) : new Set<string>();
  for (const { path, sha256, bytes } of blobs) {
    if (left.bytes <= limitBytes) break;
    if (used.has(sha256)) continue;
    // Where open files cannot be removed, somebody has it open.
    const isGone = await rm(path, { force: true }).then(
      () => true,
      () => false,
    );
    if (!isGone) continue;
    removed.blobs++;
    removed.bytes += bytes;
    left.blobs--;
    left.bytes -= bytes;
  }
  return { removed, left };
}

/** Notes that a blob was used: its time of change, since few file systems keep the time of reading. */
export async function noteUse(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => {}); // in a cache that cannot be written, nothing is removed either
}
