import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { codeOf, statIfThere } from './store/atomic-file.ts';

/** How often the holder shows that it lives, and after how long without that the lock is anyone's. */
const heartbeatMs = 2_000;
const staleAfterMs = 15_000;
/** How often those who wait look again. */
const pollMs = 50;

/**
 * Runs `work` while holding the lock file `path`, so that processes sharing a folder take turns. The lock
 * of a process that died is taken over: at once on the same machine, else when its heartbeat is old.
 *
 * `onWait` is called once where another process holds it.
 *
 * It saves double work and is no mutual exclusion to rely on (two can take over a dead lock in the same
 * instant): what `work` writes must be whole at every moment, as with `writeAtomically`.
 */
export async function withFileLock<Result>(
  path: string,
  work: () => Promise<Result>,
  signal?: AbortSignal,
  onWait?: () => void,
): Promise<Result> {
  const owner = JSON.stringify({ pid: process.pid, host: hostname(), id: randomUUID() });
  let told = false;
  while (!(await take(path, owner))) {
    signal?.throwIfAborted();
    if (await isStale(path)) {
      await rm(path, { force: true });
      continue;
    }
    if (!told) onWait?.();
    told = true;
    await sleep(pollMs, undefined, signal ? { signal } : {});
  }
  const heartbeat = setInterval(() => void beat(path), heartbeatMs);
  heartbeat.unref();
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    if ((await contents(path)) === owner) await rm(path, { force: true });
  }
}

async function take(path: string, owner: string): Promise<boolean> {
  await mkdir(dirname(path), { recursive: true });
  try {
    await writeFile(path, owner, { flag: 'wx' });
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

async function isStale(path: string): Promise<boolean> {
  const info = await statIfThere(path);
  if (info === undefined) return false;
  if (Date.now() - Number(info.mtimeMs) > staleAfterMs) return true;
  try {
    const { pid, host } = JSON.parse((await contents(path)) ?? '');
    return host === hostname() && Number.isInteger(pid) && !isAlive(pid);
  } catch {
    return false; // Just made, not yet written.
  }
}

/** Whether this machine has such a process. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== 'ESRCH';
  }
}

async function beat(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => {}); // Taken over: the other one goes on.
}

async function contents(path: string): Promise<string | undefined> {
  return await readFile(path, 'utf8').catch(() => undefined);
}
