import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { beginFetch, defaultCacheFolder, fetchModel } from '../../../artifact/cache.ts';
import { InvalidDataError } from '../../../artifact/errors.ts';
import { blobsOf, type Manifest } from '../../../artifact/manifest.ts';
import { publish } from '../../../artifact/models/publish.ts';
import { sha256 } from '../../../artifact/store/digest.ts';
import { FileStore } from '../../../artifact/store/file.ts';
import { MemoryStore } from '../../../artifact/store/memory.ts';
import { makeStoredModel } from '../../fixtures/stored-model.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

/** Counts downloads and can hold them back. */
class CountingStore extends MemoryStore {
  downloads: string[] = [];
  gate: Promise<unknown> = Promise.resolve();
  signals: (AbortSignal | undefined)[] = [];

  override async download(...args: Parameters<MemoryStore['download']>): Promise<void> {
    this.downloads.push(args[0]);
    const signal = args[3]?.signal;
    this.signals.push(signal);
    await Promise.race([this.gate, signal && once(signal, 'abort')]);
    signal?.throwIfAborted();
    await super.download(...args);
  }
}

async function published() {
  const folder = await temporaryFolder();
  const store = new CountingStore();
  const { manifest, files } = await makeStoredModel(join(folder, 'model'));
  await publish(store, 'tiny', manifest, files);
  return { store, manifest, files, cacheFolder: join(folder, 'cache') };
}

async function expectWhole(manifest: Manifest, file: (sha256: string) => string): Promise<void> {
  for (const blob of blobsOf(manifest)) {
    expect(sha256(await readFile(file(blob.sha256)))).toBe(blob.sha256);
  }
}

const bytesOf = (manifest: Manifest) => blobsOf(manifest).reduce((sum, blob) => sum + blob.bytes, 0);
const dayMs = 24 * 60 * 60 * 1000;

describe('beginFetch', () => {
  /** A store whose weights are held back while the rest comes. */
  async function withoutWeights() {
    const { store, manifest, cacheFolder } = await published();
    const { promise: gate, resolve: release, reject: fail } = Promise.withResolvers<void>();
    gate.catch(() => {}); // it may fail before anybody waits at it
    const weights = new Set(manifest.weights.map((blob) => `blobs/${blob.sha256}`));
    const download = store.download.bind(store);
    store.download = async (...args) => {
      if (weights.has(args[0])) await gate;
      await download(...args);
    };
    return { store, manifest, cacheFolder, release, fail };
  }

  it('hands out each blob as soon as it is there', async () => {
    const { store, manifest, cacheFolder, release } = await withoutWeights();
    const model = await beginFetch(store, manifest, { cacheFolder });
    const { sha256: tokenizer } = manifest.tokenizer['tokenizer.json'];
    await model.arrived(tokenizer);
    expect(sha256(await readFile(model.file(tokenizer)))).toBe(tokenizer);
    const weights = model.arrived(manifest.weights[0]!.sha256);
    await expect(Promise.race([weights, 'not yet'])).resolves.toBe('not yet');
    release();
    await weights;
    await model.complete;
    await expectWhole(manifest, model.file);
  });

  it('fails for whoever waits for a blob when another one cannot be had', async () => {
    const { store, manifest, cacheFolder, fail } = await withoutWeights();
    const model = await beginFetch(store, manifest, { cacheFolder });
    const waiting = model.arrived(manifest.weights[1]!.sha256);
    fail(new InvalidDataError('gone'));
    await expect(model.complete).rejects.toThrow('gone');
    await expect(waiting).rejects.toThrow('gone');
  });

  it('has everything at once where the cache has it', async () => {
    const { store, manifest, cacheFolder } = await published();
    await fetchModel(store, manifest, { cacheFolder });
    store.downloads = [];
    const model = await beginFetch(store, manifest, { cacheFolder });
    await model.arrived(manifest.weights[0]!.sha256);
    await model.complete;
    expect(store.downloads).toEqual([]);
  });
});

describe('fetchModel', () => {
  it('brings every blob into one folder, and only once', async () => {
    const { store, manifest, cacheFolder } = await published();
    for (const _ of ['fetched', 'cached']) {
      let moved = 0;
      const onProgress = (bytes: number) => {
        moved += bytes;
      };
      const { graphPath, file } = await fetchModel(store, manifest, { cacheFolder, onProgress });
      expect(graphPath).toBe(join(cacheFolder, 'blobs', manifest.graph.sha256));
      await expectWhole(manifest, file);
      expect(moved).toBe(bytesOf(manifest));
    }
    expect(store.downloads).toHaveLength(blobsOf(manifest).length);
    expect((await readdir(join(cacheFolder, 'blobs'))).toSorted()).toEqual(
      blobsOf(manifest)
        .map((blob) => blob.sha256)
        .toSorted(),
    );
  });

  it('refuses to name a file that is no blob of the model', async () => {
    const { store, manifest, cacheFolder } = await published();
    const { file } = await fetchModel(store, manifest, { cacheFolder });
    expect(() => file('../../secret')).toThrow(RangeError);
  });

  it('shares the downloads of calls at the same time, and tells each its progress', async () => {
    const { store, manifest, cacheFolder } = await published();
    const moved = [0, 0, 0];
    const calls = moved.map((_, index) =>
      fetchModel(store, manifest, {
        cacheFolder,
        onProgress: (bytes) => {
          moved[index]! += bytes;
        },
      }),
    );
    await Promise.all(calls);
    expect(store.downloads).toHaveLength(blobsOf(manifest).length);
    expect(moved).toEqual([0, 1, 2].map(() => bytesOf(manifest)));
  });

  it('lets one caller give up while another goes on', async () => {
    const { store, manifest, cacheFolder } = await published();
    const gate = Promise.withResolvers<void>();
    store.gate = gate.promise;
    const controller = new AbortController();
    // All downloads are the patient one's before the other comes: it could leave with one that it alone had begun.
    const patient = fetchModel(store, manifest, { cacheFolder });
    while (store.downloads.length < blobsOf(manifest).length) await setImmediate();
    const impatient = fetchModel(store, manifest, { cacheFolder, signal: controller.signal });
    await sleep(20); // in which it joins them
    controller.abort(new Error('enough'));
    await expect(impatient).rejects.toThrow('enough');
    expect(store.signals.some((signal) => signal?.aborted)).toBe(false);
    gate.resolve();
    await expectWhole(manifest, (await patient).file);
  });

  it('stops the downloads when the last caller gives up, and starts afresh for the next', async () => {
    const { store, manifest, cacheFolder } = await published();
    const gate = Promise.withResolvers<void>();
    store.gate = gate.promise;
    const controller = new AbortController();
    const options = { cacheFolder, signal: controller.signal };
    const calls = [fetchModel(store, manifest, options), fetchModel(store, manifest, options)];
    while (store.downloads.length < blobsOf(manifest).length) await setImmediate();
    controller.abort(new Error('enough'));
    await Promise.all(calls.map((call) => expect(call).rejects.toThrow('enough')));
    expect(store.signals.every((signal) => signal?.aborted)).toBe(true);
    gate.resolve();
    await expectWhole(manifest, (await fetchModel(store, manifest, { cacheFolder })).file);
  });

  it('forgets a failure: the next call tries again', async () => {
    const { store, manifest, cacheFolder } = await published();
    store.gate = Promise.reject(new Error('the network is gone'));
    store.gate.catch(() => {});
    const calls = [1, 2].map(() => fetchModel(store, manifest, { cacheFolder }));
    await Promise.all(calls.map((call) => expect(call).rejects.toThrow('the network is gone')));
    store.gate = Promise.resolve();
    await expectWhole(manifest, (await fetchModel(store, manifest, { cacheFolder })).file);
    expect((await readdir(join(cacheFolder, 'blobs'))).filter((name) => name.endsWith('.lock'))).toEqual([]);
  });

  it('fetches a truncated file again, and an empty one', async () => {
    const { store, manifest, cacheFolder } = await published();
    const { file } = await fetchModel(store, manifest, { cacheFolder });
    const [one, two] = manifest.weights.map((blob) => blob.sha256) as [string, string];
    await truncate(file(one), 17);
    await truncate(file(two), 0);
    store.downloads = [];
    await expectWhole(manifest, (await fetchModel(store, manifest, { cacheFolder })).file);
    expect(store.downloads.toSorted()).toEqual([`blobs/${one}`, `blobs/${two}`].toSorted());
  });

  it('keeps no damaged blob', async () => {
    const { store, manifest, cacheFolder } = await published();
    const victim = manifest.weights[0]!.sha256;
    store.objects.get(`blobs/${victim}`)!.bytes[0]! ^= 1;
    await expect(fetchModel(store, manifest, { cacheFolder })).rejects.toThrow(InvalidDataError);
    expect(await readdir(join(cacheFolder, 'blobs'))).not.toContain(victim);
  });

  it('removes what dead processes left, once it is a day old', async () => {
    const { store, manifest, cacheFolder } = await published();
    const folder = join(cacheFolder, 'blobs');
    await mkdir(folder, { recursive: true });
    const names = ['.foldgate-abc-1', '.foldgate-abc-2', 'abc.lock'];
    for (const name of names) await writeFile(join(folder, name), '');
    await fetchModel(store, manifest, { cacheFolder });
    expect(await readdir(folder)).toEqual(expect.arrayContaining(names));
    const old = new Date(Date.now() - dayMs - 1000);
    for (const name of names.slice(1)) await utimes(join(folder, name), old, old);
    await fetchModel(store, manifest, { cacheFolder });
    const left = await readdir(folder);
    expect(left).toContain(names[0]);
    expect(left).not.toContain(names[1]);
    expect(left).not.toContain(names[2]);
  });

  it('takes over the lock of a process that died', async () => {
    const { store, manifest, cacheFolder } = await published();
    const folder = join(cacheFolder, 'blobs');
    await mkdir(folder, { recursive: true });
    // A process that has ended: its number is free, or at least was a moment ago.
    const child = spawn(process.execPath, ['--version']);
    await once(child, 'exit');
    const lock = JSON.stringify({ pid: child.pid, host: hostname(), id: 'x' });
    await writeFile(join(folder, `${manifest.graph.sha256}.lock`), lock);
    // Another machine's process shows no sign of life for longer than a living one would.
    const elsewhere = join(folder, `${manifest.weights[0]!.sha256}.lock`);
    await writeFile(elsewhere, JSON.stringify({ pid: 1, host: 'elsewhere', id: 'y' }));
    const minuteAgo = new Date(Date.now() - 60_000);
    await utimes(elsewhere, minuteAgo, minuteAgo);
    await expectWhole(manifest, (await fetchModel(store, manifest, { cacheFolder })).file);
  });

  it('waits for a living process that fetches the same blob, then uses its file', async () => {
    const { store, manifest, cacheFolder, files } = await published();
    const folder = join(cacheFolder, 'blobs');
    await mkdir(folder, { recursive: true });
    const { sha256 } = manifest.graph;
    const lock = join(folder, `${sha256}.lock`);
    await writeFile(lock, JSON.stringify({ pid: process.pid, host: hostname(), id: 'another' }));
    const fetching = fetchModel(store, manifest, { cacheFolder });
    while (store.downloads.length < blobsOf(manifest).length - 1) await setImmediate();
    await writeFile(join(folder, sha256), await readFile(files.get(sha256)!));
    await rm(lock);
    await expectWhole(manifest, (await fetching).file);
    expect(store.downloads).not.toContain(`blobs/${sha256}`);
  });

  it('uses the blobs of a file store where they lie', async () => {
    const folder = await temporaryFolder();
    const store = new FileStore(join(folder, 'store'));
    const { manifest, files } = await makeStoredModel(join(folder, 'model'));
    await publish(store, 'tiny', manifest, files);
    const cacheFolder = join(folder, 'cache');
    const { graphPath, file } = await fetchModel(store, manifest, { cacheFolder });
    expect(graphPath).toBe(join(folder, 'store', 'blobs', manifest.graph.sha256));
    await expectWhole(manifest, file);
    await expect(readdir(cacheFolder)).rejects.toThrow('ENOENT');
    await truncate(file(manifest.weights[0]!.sha256), 3);
    await expect(fetchModel(store, manifest, { cacheFolder })).rejects.toThrow(InvalidDataError);
  });
});

describe('the default cache folder', () => {
  it.each([
    [{ FOLDGATE_CACHE: '/var/cache/f', XDG_CACHE_HOME: '/x' }, '/var/cache/f'],
    [{ FOLDGATE_CACHE: '', XDG_CACHE_HOME: '/x' }, '/x/foldgate'],
    [{ FOLDGATE_CACHE: '', XDG_CACHE_HOME: '', HOME: '/home/me' }, '/home/me/.cache/foldgate'],
  ])('with %o is %s', (env, expected) => {
    const before = { ...process.env };
    try {
      Object.assign(process.env, env);
      expect(defaultCacheFolder()).toBe(expected);
    } finally {
      for (const key of Object.keys(env)) {
        if (before[key] === undefined) delete process.env[key];
        else process.env[key] = before[key];
      }
    }
  });
});
