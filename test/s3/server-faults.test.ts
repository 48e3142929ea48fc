import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fetchModel } from '../../artifact/cache.ts';
import { FoldgateError, NotFoundError } from '../../artifact/errors.ts';
import { blobsOf, type Manifest } from '../../artifact/manifest.ts';
import { collectGarbage } from '../../artifact/models/garbage.ts';
import { publish } from '../../artifact/models/publish.ts';
import { readManifest } from '../../artifact/models/read.ts';
import { verify } from '../../artifact/models/verify.ts';
import { sha256 } from '../../artifact/store/digest.ts';
import { openStore } from '../../artifact/store/open.ts';
import { openS3Store } from '../../artifact/store/s3-store.ts';
import type { Store } from '../../artifact/store/store.ts';
import { makeStoredModel } from '../fixtures/stored-model.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { FaultProxy } from './fault-proxy.ts';
import { clientEnvironment, isInstalled, S3Server, useEndpoint } from './servers.ts';

const MiB = 1024 * 1024;
const day = 24 * 60 * 60 * 1000;
const model = { blocks: 3, blockBytes: 12 * MiB };

// The server keeps its objects on disk, so that it can be killed and started again on what it had.
describe.skipIf(!isInstalled('versitygw'))('a server killed with SIGKILL', () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await S3Server.start('versitygw');
    useEndpoint(server.endpoint);
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  const newStore = async (): Promise<{ store: Store; bucket: string }> => {
    const bucket = await server.makeBucket();
    const location = { kind: 's3', bucket, prefix: 'team', pathStyle: undefined } as const;
    const store = await openS3Store(location, { partBytes: 5 * MiB, rangeBytes: MiB, idleMs: 2000 });
    return { store, bucket };
  };
  /** An `onProgress` that kills the server once so many bytes have moved. */
  const killAfter = (bytes: number) => {
    let moved = 0;
    let killed: Promise<void> | undefined;
    const onProgress = (count: number) => {
      moved += count;
      if (moved >= bytes) killed ??= server.kill();
    };
    return { onProgress, killed: () => killed };
  };

  it.each([1, 15 * MiB, 36 * MiB])(
    'mid-upload, after %d bytes: no reader sees half a model, and the next publication finishes',
    async (bytes) => {
      const { store } = await newStore();
      const { manifest, files } = await makeStoredModel(await temporaryFolder(), model);
      const { onProgress, killed } = killAfter(bytes);
      await expect(publish(store, 'tiny', manifest, files, { onProgress })).rejects.toThrow(FoldgateError);
      await killed();
      await server.restart();
      await expect(readManifest(store, 'tiny')).rejects.toThrow(NotFoundError);
      await expectWholeBlobs(store, manifest);
      await publish(store, 'tiny', manifest, files);
      expect((await verify(store, 'tiny')).broken).toEqual([]);
    },
  );

  it('mid-upload of a new version: readers keep the old one', async () => {
    const { store } = await newStore();
    const old = await makeStoredModel(await temporaryFolder(), { ...model, seed: 1 });
    const version = await publish(store, 'tiny', old.manifest, old.files);
    const next = await makeStoredModel(await temporaryFolder(), { ...model, seed: 2 });
    const { onProgress } = killAfter(20 * MiB);
    await expect(publish(store, 'tiny', next.manifest, next.files, { onProgress })).rejects.toThrow(
      FoldgateError,
    );
    await server.restart();
    expect((await readManifest(store, 'tiny')).digest).toBe(version);
    expect((await verify(store, 'tiny')).broken).toEqual([]);
    const newVersion = await publish(store, 'tiny', next.manifest, next.files);
    expect((await readManifest(store, 'tiny')).digest).toBe(newVersion);
    expect((await verify(store, 'tiny')).broken).toEqual([]);
  });

  it('mid-upload and started again at once: the same publication finishes', async () => {
    const { store, bucket } = await newStore();
    const { manifest, files } = await makeStoredModel(await temporaryFolder(), model);
    const { onProgress, killed } = killAfter(10 * MiB);
    const publishing = publish(store, 'tiny', manifest, files, { onProgress });
    while (killed() === undefined) await new Promise(setImmediate);
    await killed();
    await server.restart();
    await publishing;
    expect((await verify(store, 'tiny')).broken).toEqual([]);
    // An upload whose beginning the server could not confirm any more is nobody's: gc finds it.
    await collectGarbage(store, { olderThanMs: -day });
    expect(await uploadsOf(server, bucket)).toBe(0);
    expect((await verify(store, 'tiny')).broken).toEqual([]);
  });

  it('between the two halves of an object: a key that is refused and not there is written all the same', async () => {
    const { store, bucket } = await newStore();
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    await publish(store, 'tiny', manifest, files);
    // What the server leaves when it dies after an object's metadata and before its bytes.
    await rm(join(server.dataFolder, bucket, 'team', 'blobs', manifest.graph.sha256));
    expect(await store.head(`blobs/${manifest.graph.sha256}`)).toBeUndefined();
    await publish(store, 'tiny', manifest, files);
    expect((await verify(store, 'tiny')).broken).toEqual([]);
  });

  it('mid-download: no half file under a blob’s name, and the next fetch finishes', async () => {
    const { store } = await newStore();
    const folder = await temporaryFolder();
    const cacheFolder = join(folder, 'cache');
    const { manifest, files } = await makeStoredModel(folder, model);
    await publish(store, 'tiny', manifest, files);
    const { onProgress, killed } = killAfter(8 * MiB);
    await expect(fetchModel(store, manifest, { cacheFolder, onProgress })).rejects.toThrow(FoldgateError);
    await killed();
    const blobs = join(cacheFolder, 'blobs');
    for (const name of await readdir(blobs)) {
      expect(sha256(await readFile(join(blobs, name)))).toBe(name); // Nothing else lies there.
    }
    await server.restart();
    const { file } = await fetchModel(store, manifest, { cacheFolder });
    for (const blob of blobsOf(manifest)) expect(sha256(await readFile(file(blob.sha256)))).toBe(blob.sha256);
  });

  it('mid-download and started again at once: the same fetch finishes, without starting over', async () => {
    const { store } = await newStore();
    const folder = await temporaryFolder();
    const { manifest, files } = await makeStoredModel(folder, model);
    await publish(store, 'tiny', manifest, files);
    const total = blobsOf(manifest).reduce((sum, blob) => sum + blob.bytes, 0);
    const { onProgress, killed } = killAfter(8 * MiB);
    let moved = 0;
    const fetching = fetchModel(store, manifest, {
      cacheFolder: join(folder, 'cache'),
      onProgress: (count) => {
        moved += count;
        onProgress(count);
      },
    });
    while (killed() === undefined) await new Promise(setImmediate);
    await killed();
    await server.restart();
    const { file } = await fetching;
    for (const blob of blobsOf(manifest)) expect(sha256(await readFile(file(blob.sha256)))).toBe(blob.sha256);
    expect(moved).toBe(total);
  });
});

describe.skipIf(!isInstalled('versitygw'))('a client killed with SIGKILL', () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await S3Server.start('versitygw');
    useEndpoint(server.endpoint);
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  it('mid-upload leaves uploads that gc aborts, and no half model', async () => {
    const bucket = await server.makeBucket();
    const url = `s3://${bucket}/team`;
    const folder = await temporaryFolder();
    const { manifest, files } = await makeStoredModel(folder, { ...model, blockBytes: 20 * MiB });
    const child = fork(
      join(import.meta.dirname, '../fixtures/publish-process.ts'),
      [folder, url, String(9 * MiB)],
      {
        env: { ...process.env, ...clientEnvironment(server.endpoint) },
      },
    );
    expect((await once(child, 'exit'))[1]).toBe('SIGKILL');

    const store = await openStore(url);
    await expect(readManifest(store, 'tiny')).rejects.toThrow(NotFoundError);
    await expectWholeBlobs(store, manifest);
    expect(await uploadsOf(server, bucket)).toBeGreaterThan(0);
    expect((await collectGarbage(store)).uploads).toBe(0); // Young: somebody may be at it.
    await publish(store, 'tiny', manifest, files);
    expect((await verify(store, 'tiny')).broken).toEqual([]);
    expect((await collectGarbage(store, { olderThanMs: -day })).uploads).toBeGreaterThan(0);
    expect(await uploadsOf(server, bucket)).toBe(0);
    expect((await verify(store, 'tiny')).broken).toEqual([]);
  });

  it('mid-download leaves a lock and temporary files that the next process does not wait for', async () => {
    const { folder, url, manifest } = await publishedModel(server);
    const cacheFolder = join(folder, 'cache');
    const arguments_ = [url, 'tiny', cacheFolder, String(4 * MiB)];
    const child = fork(join(import.meta.dirname, '../fixtures/fetch-process.ts'), arguments_);
    expect((await once(child, 'exit'))[1]).toBe('SIGKILL');
    const left = await readdir(join(cacheFolder, 'blobs'));
    expect(left.some((name) => name.endsWith('.lock'))).toBe(true);
    const { file } = await fetchModel(await openStore(url), manifest, { cacheFolder });
    for (const blob of blobsOf(manifest)) expect(sha256(await readFile(file(blob.sha256)))).toBe(blob.sha256);
  });

  it('not killed at all: four processes that fetch at the same time move every byte once', async () => {
    const { folder, url, manifest } = await publishedModel(server);
    const proxy = await FaultProxy.start(server.endpoint);
    const cacheFolder = join(folder, 'cache');
    const children = Array.from({ length: 4 }, () =>
      fork(join(import.meta.dirname, '../fixtures/fetch-process.ts'), [url, 'tiny', cacheFolder], {
        env: { ...process.env, ...clientEnvironment(proxy.endpoint) },
      }),
    );
    const exits = await Promise.all(children.map((child) => once(child, 'exit')));
    expect(exits.map(([code]) => code)).toEqual([0, 0, 0, 0]);
    const asked = proxy.requests.filter(({ method, url }) => method === 'GET' && url.includes('/blobs/'));
    const ranges = asked.map(({ url, headers }) => `${url} ${headers.range}`);
    expect(new Set(ranges).size).toBe(ranges.length);
    expect((await readdir(join(cacheFolder, 'blobs'))).toSorted()).toEqual(
      blobsOf(manifest)
        .map((blob) => blob.sha256)
        .toSorted(),
    );
    await proxy[Symbol.asyncDispose]();
  });
});

async function publishedModel(server: S3Server) {
  const url = `s3://${await server.makeBucket()}/team`;
  const folder = await temporaryFolder();
  const { manifest, files } = await makeStoredModel(join(folder, 'model'), { ...model, blockBytes: 9 * MiB });
  await publish(await openStore(url), 'tiny', manifest, files);
  return { url, folder, manifest };
}

/** Blobs may be missing, but none of those that are there may be broken. */
async function expectWholeBlobs(store: Store, manifest: Manifest): Promise<void> {
  for (const { sha256, bytes } of blobsOf(manifest)) {
    const key = `blobs/${sha256}`;
    if (await store.head(key)) expect(await store.digest(key)).toEqual({ sha256, bytes });
  }
}

async function uploadsOf(server: S3Server, bucket: string): Promise<number> {
  const { Uploads } = await server.client().send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  return Uploads?.length ?? 0;
}
