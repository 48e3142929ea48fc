import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fetchModel, fetchOne } from '../../artifact/cache.ts';
import { InvalidDataError, NotFoundError } from '../../artifact/errors.ts';
import { blobsOf } from '../../artifact/manifest.ts';
import { copyModel } from '../../artifact/models/copy.ts';
import { collectGarbage } from '../../artifact/models/garbage.ts';
import { listModels } from '../../artifact/models/inspect.ts';
import { publish } from '../../artifact/models/publish.ts';
import { readManifest } from '../../artifact/models/read.ts';
import { removeModel } from '../../artifact/models/remove.ts';
import { verify } from '../../artifact/models/verify.ts';
import type { PrefixEntry } from '../../artifact/prefixes/entry.ts';
import { publishPrefix } from '../../artifact/prefixes/publish.ts';
import { readPrefixes } from '../../artifact/prefixes/read.ts';
import { sha256 } from '../../artifact/store/digest.ts';
import { FileStore } from '../../artifact/store/file.ts';
import { openModelUrl, openStore } from '../../artifact/store/open.ts';
import { makeStoredModel, noise } from '../fixtures/stored-model.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { isInstalled, S3Server, serverKinds, useEndpoint } from './servers.ts';

const day = 24 * 60 * 60 * 1000;

for (const kind of serverKinds) {
  describe.skipIf(!isInstalled(kind))(`models in ${kind}`, () => {
    let server: S3Server;
    beforeAll(async () => {
      server = await S3Server.start(kind);
      useEndpoint(server.endpoint);
    });
    afterAll(() => server?.[Symbol.asyncDispose]());

    const newStore = async (prefix = 'team') => {
      const bucket = await server.makeBucket();
      return { bucket, store: await openStore(`s3://${bucket}/${prefix}`) };
    };

    it('publishes through one client what another fetches, byte by byte', async () => {
      const bucket = await server.makeBucket();
      const folder = await temporaryFolder();
      // Above the part size: the large blobs go in parts and come in ranges.
      const { manifest, files } = await makeStoredModel(folder, { blockBytes: 9 * 1024 * 1024 });
      const { store, name } = await openModelUrl(`s3://${bucket}/a/b/tiny`);
      const version = await publish(store, name, manifest, files);

      const reader = await openStore(`s3://${bucket}/a/b?pathStyle=true`);
      const found = await readManifest(reader, 'tiny');
      expect(found).toMatchObject({ manifest, digest: version });
      const cacheFolder = join(folder, 'cache');
      const { file } = await fetchModel(reader, found.manifest, { cacheFolder });
      for (const blob of blobsOf(manifest)) {
        expect(sha256(await readFile(file(blob.sha256)))).toBe(blob.sha256);
      }
      // The layout is a promise to other tools: a plain client finds the graph where it should be.
      const key = `a/b/blobs/${manifest.graph.sha256}`;
      const { Body } = await server.client().send(new GetObjectCommand({ Bucket: bucket, Key: key }));
      expect(sha256(await Body!.transformToByteArray())).toBe(manifest.graph.sha256);
      expect(await listModels(reader)).toMatchObject([{ name: 'tiny', summary: { version } }]);
    });

    it('keeps two stores in one bucket apart', async () => {
      const { bucket, store } = await newStore('team');
      const neighbour = await openStore(`s3://${bucket}/team-b`);
      const { manifest, files } = await makeStoredModel(await temporaryFolder());
      await publish(store, 'tiny', manifest, files);
      await publish(neighbour, 'other', manifest, files);
      expect((await listModels(store)).map(({ name }) => name)).toEqual(['tiny']);
      await expect(readManifest(store, 'other')).rejects.toThrow(NotFoundError);
      await removeModel(store, 'tiny');
      await collectGarbage(store, { olderThanMs: -day });
      expect((await verify(neighbour, 'other')).broken).toEqual([]);
    });

    it('lets two writers publish one name at the same time: it is one of the two, whole', async () => {
      const { store } = await newStore();
      const models = await Promise.all(
        [1, 2].map(async (seed) => makeStoredModel(await temporaryFolder(), { seed, blockBytes: 300_000 })),
      );
      const versions = await Promise.all(
        models.map(({ manifest, files }) => publish(store, 'tiny', manifest, files)),
      );
      const { digest } = await readManifest(store, 'tiny');
      expect(versions).toContain(digest);
      expect((await verify(store, 'tiny')).broken).toEqual([]);
    });

    it('lets eight writers publish the same model at the same time', async () => {
      const { store } = await newStore();
      const { manifest, files } = await makeStoredModel(await temporaryFolder(), { blockBytes: 100_000 });
      const versions = await Promise.all(
        Array.from({ length: 8 }, () => publish(store, 'tiny', manifest, files)),
      );
      expect(new Set(versions).size).toBe(1);
      expect((await verify(store, 'tiny')).broken).toEqual([]);
    });

    it('keeps a prefix beside its model, in parts and ranges, and takes it along', async () => {
      const { bucket, store } = await newStore();
      const folder = await temporaryFolder();
      const { manifest, files } = await makeStoredModel(folder);
      await publish(store, 'tiny', manifest, files);
      const bytes = noise(20_000_000, 5); // 500 tokens of a model of 135M
      const file = join(folder, 'prefix');
      await writeFile(file, bytes);
      const graph = manifest.graph.sha256;
      const entry: PrefixEntry = {
        schemaVersion: 1,
        tokens: [1, 2, 3, 4],
        graph,
        cache: { elementType: 'float32', arrays: 60, kvHeads: 3, headSize: 64 },
        blob: { sha256: sha256(bytes), bytes: bytes.length },
        computeMs: 400,
        createdAt: '2026-11-24T12:00:00.000Z',
        version: '0.1.0',
      };
      await publishPrefix(store, 'tiny', 'system', entry, file);
      const neighbour = await openStore(`s3://${bucket}/team-b`);
      await copyModel({ store, name: 'tiny' }, { store: neighbour, name: 'copy' });
      await removeModel(store, 'tiny');
      await collectGarbage(store, { olderThanMs: -day });
      expect(await store.head(`blobs/${entry.blob.sha256}`)).toBeUndefined();
      expect(await readPrefixes(neighbour, 'copy', [graph])).toEqual([{ ...entry, name: 'system' }]);
      const path = await fetchOne(neighbour, entry.blob, { cacheFolder: join(folder, 'cache') });
      expect(sha256(await readFile(path))).toBe(entry.blob.sha256);
      expect((await verify(neighbour, 'copy')).broken).toEqual([]);
    });

    it('finds a truncated, a flipped and a missing blob, by verify and by download', async () => {
      const { bucket, store } = await newStore();
      const folder = await temporaryFolder();
      const { manifest, files } = await makeStoredModel(folder);
      await publish(store, 'tiny', manifest, files);
      const [truncated, flipped, missing] = manifest.weights.map((blob) => blob.sha256) as [
        string,
        string,
        string,
      ];
      const Key = (hash: string) => `team/blobs/${hash}`;
      const original = (hash: string) => readFile(files.get(hash)!);
      const damaged = await original(flipped);
      damaged[77]! ^= 0x20;
      const client = server.client();
      const put = (hash: string, Body: Uint8Array) =>
        client.send(new PutObjectCommand({ Bucket: bucket, Key: Key(hash), Body }));
      await put(truncated, (await original(truncated)).subarray(0, 500));
      await put(flipped, damaged);
      await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: Key(missing) }));

      const { broken } = await verify(store, 'tiny');
      expect(broken.map((blob) => blob.sha256).toSorted()).toEqual([truncated, flipped, missing].toSorted());
      const cacheFolder = join(folder, 'cache');
      for (const hash of [truncated, flipped, missing]) {
        const blob = manifest.weights.find((weights) => weights.sha256 === hash)!;
        const download = store.download(`blobs/${hash}`, join(cacheFolder, 'one'), blob);
        await expect(download).rejects.toThrow(hash === missing ? NotFoundError : InvalidDataError);
      }
      await expect(fetchModel(store, manifest, { cacheFolder })).rejects.toThrow(/bytes|sha256|There is no/);

      await publish(store, 'tiny', manifest, files, { rewrite: true });
      expect((await verify(store, 'tiny')).broken).toEqual([]);
      const { file } = await fetchModel(store, manifest, { cacheFolder });
      expect(sha256(await readFile(file(flipped)))).toBe(flipped);
    });

    it('copies between stores of different kinds, both ways', async () => {
      const folder = await temporaryFolder();
      const { store } = await newStore();
      const { store: second } = await newStore('elsewhere');
      const local = new FileStore(join(folder, 'store'));
      const { manifest, files } = await makeStoredModel(join(folder, 'model'));
      const version = await publish(local, 'tiny', manifest, files);
      const options = { temporaryFolder: join(folder, 'temporary') };
      const name = 'tiny';
      expect(await copyModel({ store: local, name }, { store, name }, options)).toBe(version);
      expect(await copyModel({ store, name }, { store: second, name }, options)).toBe(version);
      const back = new FileStore(join(folder, 'back'));
      expect(await copyModel({ store: second, name }, { store: back, name }, options)).toBe(version);
      expect((await verify(back, name)).broken).toEqual([]);
    });

    it('collects no young and no named blob, then exactly those that a removed model leaves', async () => {
      const { store } = await newStore();
      const one = await makeStoredModel(await temporaryFolder(), { seed: 1 });
      const two = await makeStoredModel(await temporaryFolder(), { seed: 2 });
      await publish(store, 'one', one.manifest, one.files);
      await publish(store, 'two', two.manifest, two.files);
      await removeModel(store, 'one');
      expect((await collectGarbage(store)).blobs).toEqual([]);
      // Negative: as if all that was a day ago. S3's clock cannot be turned.
      const planned = await collectGarbage(store, { olderThanMs: -day, dryRun: true });
      expect(planned.blobs).toHaveLength(4);
      expect((await verify(store, 'two')).broken).toEqual([]);
      const { blobs } = await collectGarbage(store, { olderThanMs: -day });
      expect(blobs).toEqual(planned.blobs);
      expect((await verify(store, 'two')).broken).toEqual([]);
      expect((await collectGarbage(store, { olderThanMs: -day })).blobs).toEqual([]);
    });

    it('aborts the uploads nobody finished, of this store only and not the young ones', async () => {
      const { bucket, store } = await newStore('team');
      const client = server.client();
      for (const Key of ['team/blobs/a', 'team/blobs/b', 'team-b/blobs/c']) {
        const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
        const Body = noise(1000, 1);
        await client.send(new UploadPartCommand({ Bucket: bucket, Key, UploadId, PartNumber: 1, Body }));
      }
      // moto says of every upload that it began in 2010.
      if (kind !== 'moto') expect(await store.abortOrphans(day)).toBe(0);
      expect(await store.abortOrphans(-day, { dryRun: true })).toBe(2);
      expect((await collectGarbage(store, { olderThanMs: -day })).uploads).toBe(2);
      expect(await store.abortOrphans(-day)).toBe(0);
      const neighbour = await openStore(`s3://${bucket}/team-b`);
      expect(await neighbour.abortOrphans(-day)).toBe(1);
    });
  });
}
