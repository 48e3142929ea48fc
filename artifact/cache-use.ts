import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { isAlive } from './file-lock.ts';
import { statIfThere } from './store/atomic-file.ts';

/** Milliseconds after which a process of another machine, whose life nobody here can see, counts as ended. */
const foreignAfterMs = 24 * 60 * 60 * 1000;

const folderOf = (cacheFolder: string) => join(cacheFolder, 'in-use');
const nameOf = (pid: number, host: string) => `${pid}@${host}`;

/**
 * What this process works with, by cache folder, and how many times over. Its number may have been another's, so
 * it writes all of it.
 */
const own = new Map<string, Map<string, number>>();

/**
 * Tells every process that shares the cache that this one works with these blobs.
 * @returns to be called when it works with them no more; without that, until the process ends
 */
export async function markInUse(
  cacheFolder: string,
  sha256s: readonly string[],
): Promise<() => Promise<void>> {
  const used = own.get(cacheFolder) ?? new Map<string, number>();
  own.set(cacheFolder, used);
  for (const sha256 of sha256s) used.set(sha256, (used.get(sha256) ?? 0) + 1);
  await writeOwn(cacheFolder, used);
  let marked = true;
  return async () => {
    if (!marked) return;
    marked = false;
    for (const sha256 of sha256s) {
      const left = used.get(sha256)! - 1;
      if (left > 0) used.set(sha256, left);
      else used.delete(sha256);
    }
    await writeOwn(cacheFolder, used);
  };
}

async function writeOwn(cacheFolder: string, used: ReadonlyMap<string, number>): Promise<void> {
  try {
    await mkdir(folderOf(cacheFolder), { recursive: true });
    await writeFile(
      join(folderOf(cacheFolder), nameOf(process.pid, hostname())),
      [...used.keys()].join('\n'),
    );
  } catch {
    // A cache that nobody can write to is one that nobody shrinks either.
  }
}

/** The blobs that living processes work with. What ended ones left is removed. */
export async function blobsInUse(cacheFolder: string): Promise<Set<string>> {
  const used = new Set<string>();
  for (const name of await readdir(folderOf(cacheFolder)).catch(() => [])) {
    const path = join(folderOf(cacheFolder), name);
    if (await mayLive(name, path)) {
      for (const sha256 of (await readFile(path, 'utf8').catch(() => '')).split('\n')) used.add(sha256);
    } else {
      await rm(path, { force: true });
    }
  }
  return used;
}

async function mayLive(name: string, path: string): Promise<boolean> {
  const [pid, host] = name.split(/@(.*)/);
  if (host === hostname()) return isAlive(Number(pid));
  const info = await statIfThere(path);
  return info !== undefined && Date.now() - Number(info.mtimeMs) < foreignAfterMs;
}

/** Where in a cache folder blobs lie, each a file named by its sha256. */
export function blobFolder(cacheFolder: string): string {
  return join(cacheFolder, 'blobs');
}
