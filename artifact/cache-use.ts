import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { isAlive } from './file-lock.ts';
import { statIfThere } from './store/atomic-file.ts';

/** Milliseconds after which a process of another machine, whose life nobody here can see, counts as ended. */
const foreignAfterMs = 24 * 60 * 60 * 1000;

const folderOf = (cacheFolder: string) => join(cacheFolder, 'in-use');
const nameOf = (pid: number, host: string) => `${pid}@${host}`;

/** What this process works with, by cache folder. Its number may have been another's, so it writes all of it. */
const own = new Map<string, Set<string>>();

/** Tells every process that shares the cache that this one works with these blobs for as long as it lives. */
export async function markInUse(cacheFolder: string, sha256s: readonly string[]): Promise<void> {
  const used = new Set([...(own.get(cacheFolder) ?? []), ...sha256s]);
  own.set(cacheFolder, used);
  try {
    await mkdir(folderOf(cacheFolder), { recursive: true });
    await writeFile(join(folderOf(cacheFolder), nameOf(process.pid, hostname())), [...used].join('\n'));
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
