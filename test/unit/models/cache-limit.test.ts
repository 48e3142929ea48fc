import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { fetchModel } from '../../../artifact/cache.ts';
import { shrinkCache } from '../../../artifact/cache-limit.ts';
import { blobsOf } from '../../../artifact/manifest.ts';
import { publish } from '../../../artifact/models/publish.ts';
import { MemoryStore } from '../../../artifact/store/memory.ts';
import { makeStoredModel } from '../../fixtures/stored-model.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const name = (letter: string) => letter.repeat(64);
const dayMs = 24 * 60 * 60 * 1000;

async function age(path: string, ms: number): Promise<void> {
  const then = new Date(Date.now() - ms);
  await utimes(path, then, then);
}

/** A cache of blobs a, b, c, d of 100 bytes each, a the least recently used. */
async function cacheOfFour(): Promise<{ cacheFolder: string; blobs: () => Promise<string> }> {
  const cacheFolder = await temporaryFolder();
  const folder = join(cacheFolder, 'blobs');
  await mkdir(folder);
  for (const [i, letter] of [...'cabd'].entries()) {
    const path = join(folder, name(letter));
    await writeFile(path, Buffer.alloc(100, i));
    await age(path, dayMs * (10 - 'abcd'.indexOf(letter)));
  }
  const blobs = async () => (await readdir(folder)).map((blob) => blob[0]).join('');
  return { cacheFolder, blobs };
}

async function mark(cacheFolder: string, owner: string, letters: string): Promise<string> {
  await mkdir(join(cacheFolder, 'in-use'), { recursive: true });
  const path = join(cacheFolder, 'in-use', owner);
  await writeFile(path, [...letters].map(name).join('\n'));
  return path;
}

describe('shrinkCache', () => {
  it.each([
    [Infinity, 'abcd'],
    [400, 'abcd'],
    [399, 'bcd'],
    [200, 'cd'],
    [0, ''],
    [-5, ''],
  ])('to %d bytes leaves %j: the least recently used go first', async (limit, rest) => {
    const { cacheFolder, blobs } = await cacheOfFour();
    const { removed, left } = await shrinkCache(cacheFolder, limit);
    expect(await blobs()).toBe(rest);
    expect(left).toEqual({ blobs: rest.length, bytes: 100 * rest.length });
    expect(removed).toEqual({ blobs: 4 - rest.length, bytes: 400 - 100 * rest.length });
  });

  it('leaves alone what is no blob', async () => {
    const { cacheFolder, blobs } = await cacheOfFour();
    for (const file of ['.foldgate-half', `${name('e')}.lock`])
      await writeFile(join(cacheFolder, 'blobs', file), '');
    await shrinkCache(cacheFolder, 0);
    expect(await blobs()).toBe('.e');
  });

  it('finds nothing in a folder that is not there', async () => {
    const nothing = { blobs: 0, bytes: 0 };
    expect(await shrinkCache('/nowhere/at/all', 0)).toEqual({ removed: nothing, left: nothing });
  });

  it('keeps what a process works with for as long as it lives', async () => {
    const { cacheFolder, blobs } = await cacheOfFour();
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)']);
    onTestFinished(() => void child.kill());
    await once(child, 'spawn');
    await mark(cacheFolder, `${child.pid}@${hostname()}`, 'ac');
    await shrinkCache(cacheFolder, 100);
    expect(await blobs()).toBe('ac');
    const exited = once(child, 'exit');
    child.kill();
    await exited;
    await shrinkCache(cacheFolder, 100);
    expect(await blobs()).toBe('c');
    expect(await readdir(join(cacheFolder, 'in-use'))).toEqual([]);
  });

  it('believes the processes of other machines for a day', async () => {
    const { cacheFolder, blobs } = await cacheOfFour();
    await mark(cacheFolder, '1@another.host', 'a');
    await age(await mark(cacheFolder, '2@yet@another', 'b'), dayMs + 1000);
    await shrinkCache(cacheFolder, 0);
    expect(await blobs()).toBe('a');
  });
});

describe('fetchModel with a limit', () => {
  const fetched = async (cacheBytes?: number) => {
    const store = new MemoryStore();
    const { manifest, files } = await makeStoredModel(join(await temporaryFolder(), 'model'));
    await publish(store, 'tiny', manifest, files);
    const cache = await cacheOfFour();
    const own = blobsOf(manifest).reduce((sum, blob) => sum + blob.bytes, 0);
    const limit = cacheBytes === undefined ? {} : { cacheBytes: own + cacheBytes };
    const local = await fetchModel(store, manifest, { cacheFolder: cache.cacheFolder, ...limit });
    const all = await readdir(join(cache.cacheFolder, 'blobs'));
    const old = all.filter((blob) => new Set(blob).size === 1).map((blob) => blob[0]);
    return { ...cache, store, manifest, local, old: old.join('') };
  };

  it('makes room for the model, and brings it in whatever it takes', async () => {
    expect((await fetched()).old).toBe('abcd');
    expect((await fetched(400)).old).toBe('abcd');
    expect((await fetched(250)).old).toBe('cd');
    const tight = await fetched(-1000);
    expect(tight.old).toBe('');
    for (const { sha256, bytes } of blobsOf(tight.manifest))
      expect((await stat(tight.local.file(sha256))).size).toBe(bytes);
  });

  it('notes the use of what was there, and marks it while this process lives', async () => {
    const { cacheFolder, store, manifest, local } = await fetched();
    const path = local.file(manifest.weights[0]!.sha256);
    await age(path, 5 * dayMs);
    await fetchModel(store, manifest, { cacheFolder });
    expect(Date.now() - (await stat(path)).mtimeMs).toBeLessThan(dayMs);
    const { left } = await shrinkCache(cacheFolder, 0);
    expect(left.blobs).toBe(blobsOf(manifest).length);
  });

  it('lets go of what nobody in this process needs any more', async () => {
    const { cacheFolder, store, manifest, local } = await fetched();
    const again = await fetchModel(store, manifest, { cacheFolder });
    const left = async () => (await shrinkCache(cacheFolder, 0)).left.blobs;
    await local.release();
    await local.release(); // twice counts once
    expect(await left()).toBe(blobsOf(manifest).length);
    await again.release();
    expect(await left()).toBe(0);
  });
});
