import { execFile } from 'node:child_process';
import { statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it, onTestFinished, type TestContext } from 'vitest';
import { requirement } from '../fixtures/requirement.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { remoteStore, served } from './remote-pico.ts';

const run = promisify(execFile);

/** A disk of so many bytes, for as long as the test runs. */
async function smallDisk(ctx: TestContext, bytes: number): Promise<string> {
  const folder = await temporaryFolder();
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder]).then(
    () => true,
    () => false,
  );
  // Containers often may not mount, in CI too: the test below needs no such right.
  if (!mounted) {
    console.warn(`SKIPPED "${ctx.task.name}": mounting a tmpfs needs root.`);
    ctx.skip();
  }
  onTestFinished(async () => void (await run('umount', [folder])));
  return folder;
}

it('a full disk is told of before anything is fetched, and the server lives', async (ctx) => {
  const store = await remoteStore();
  const disk = await smallDisk(ctx, 64 * 1024);
  const { ask, failures, url } = await served(store, disk);
  await expect(ask()).rejects.toThrow('503 model_unavailable');
  expect(failures[0]).toMatch(/^pico: \d+ MB are needed in .*, where 0 MB are free\. Make room/);
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
});

it('a disk that fills up while blobs arrive leaves no half ones, and the next try succeeds when there is room', async (ctx) => {
  const store = await remoteStore();
  const disk = await smallDisk(ctx, 8 * 1024 * 1024);
  const filler = join(disk, 'filler');
  const { download } = store;
  let isFull = false;
  store.download = async (...args) => {
    if (!isFull) {
      isFull = true; // somebody else takes all that is left
      const { bavail, bsize } = await statfs(disk);
      await writeFile(filler, new Uint8Array(bavail * bsize - bsize));
    }
    return await download.apply(store, args);
  };
  const { ask, failures } = await served(store, disk);
  await expect(ask()).rejects.toThrow('503 model_unavailable');
  expect(failures[0]).toMatch(/ENOSPC/);
  await writeFile(filler, '');
  await expect(ask()).resolves.toEqual(expect.any(String));
});

it('a limit on file sizes, too', async (ctx) => {
  requirement(ctx, process.platform === 'linux' ? undefined : 'Linux, for prlimit');
  const store = await remoteStore();
  const limit = async (bytes: string) => run('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:`]);
  process.on('SIGXFSZ', () => {}); // else the system ends the process
  onTestFinished(() => void process.removeAllListeners('SIGXFSZ'));
  const { ask, failures } = await served(store, await temporaryFolder());
  await limit('1000');
  try {
    await expect(ask()).rejects.toThrow('503 model_unavailable');
  } finally {
    await limit('unlimited');
  }
  expect(failures[0]).toMatch(/EFBIG/);
  await expect(ask()).resolves.toEqual(expect.any(String));
});
