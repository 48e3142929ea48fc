import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fetchModel } from '../../../artifact/cache.ts';
import { NotFoundError } from '../../../artifact/errors.ts';
import { blobsOf } from '../../../artifact/manifest.ts';
import { publish } from '../../../artifact/models/publish.ts';
import { readManifest } from '../../../artifact/models/read.ts';
import { verify } from '../../../artifact/models/verify.ts';
import { temporaryPrefix } from '../../../artifact/store/atomic-file.ts';
import { FileStore } from '../../../artifact/store/file.ts';
import { makeStoredModel } from '../../fixtures/stored-model.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const publisher = join(import.meta.dirname, '../../fixtures/publish-process.ts');

/** Publishes in a process of its own, which kills itself (SIGKILL) once `killAfter` bytes have moved. */
async function publishAndDie(modelFolder: string, storeUrl: string, killAfter: number): Promise<void> {
  const child = fork(publisher, [modelFolder, storeUrl, String(killAfter)]);
  const [, signal] = await once(child, 'exit');
  expect(signal).toBe('SIGKILL');
}

describe('a publisher killed with SIGKILL', () => {
  const options = { blocks: 4, blockBytes: 300_000 };

  it.each([1, 10_000, 400_000, 1_200_000])(
    'after %d bytes leaves no half model, and the next one finishes',
    async (killAfter) => {
      const folder = await temporaryFolder();
      const { manifest, files } = await makeStoredModel(join(folder, 'model'), options);
      const store = new FileStore(join(folder, 'store'));
      await publishAndDie(join(folder, 'model'), store.url, killAfter);

      await expect(readManifest(store, 'tiny')).rejects.toThrow(NotFoundError);
      // Every blob that is there under its name is whole.
      for (const blob of blobsOf(manifest)) {
        const key = `blobs/${blob.sha256}`;
        if (await store.head(key)) expect(await store.digest(key)).toEqual(blobDigest(blob));
      }

      await publish(store, 'tiny', manifest, files);
      expect((await verify(store, 'tiny')).broken).toEqual([]);
      expect((await readManifest(store, 'tiny')).manifest).toEqual(manifest);
    },
  );

  it('leaves the old model in place while a new version was on its way', async () => {
    const folder = await temporaryFolder();
    const store = new FileStore(join(folder, 'store'));
    const old = await makeStoredModel(join(folder, 'old'), { seed: 1, ...options });
    const version = await publish(store, 'tiny', old.manifest, old.files);
    await makeStoredModel(join(folder, 'model'), { seed: 2, ...options });
    await publishAndDie(join(folder, 'model'), store.url, 700_000);
    expect((await readManifest(store, 'tiny')).digest).toBe(version);
    expect((await verify(store, 'tiny')).broken).toEqual([]);
    const { graphPath } = await fetchModel(store, old.manifest);
    expect(graphPath).toBe(join(folder, 'store', 'blobs', old.manifest.graph.sha256));
  });

  it('leaves temporary files that abortOrphans removes once they are old, and nothing else', async () => {
    const folder = await temporaryFolder();
    await makeStoredModel(join(folder, 'model'), options);
    const store = new FileStore(join(folder, 'store'));
    await publishAndDie(join(folder, 'model'), store.url, 300_000);
    const left = await temporaryFiles(join(folder, 'store', 'blobs'));
    expect(left.length).toBeGreaterThan(0);
    expect(await store.abortOrphans(60_000)).toBe(0); // Young: its writer may be alive.
    const before = await keysOf(store);
    const hourAgo = new Date(Date.now() - 3_600_000);
    for (const path of left) await utimes(path, hourAgo, hourAgo);
    expect(await store.abortOrphans(60_000, { dryRun: true })).toBe(left.length);
    expect(await temporaryFiles(join(folder, 'store', 'blobs'))).toEqual(left);
    expect(await store.abortOrphans(60_000)).toBe(left.length);
    expect(await temporaryFiles(join(folder, 'store', 'blobs'))).toEqual([]);
    expect(await keysOf(store)).toEqual(before);
  });
});

describe('the file store', () => {
  it('ignores what others put into its folder', async () => {
    const folder = await temporaryFolder();
    const store = new FileStore(folder);
    await store.write('blobs/a', new Uint8Array(1));
    await writeFile(join(folder, 'My notes.txt'), 'x');
    await writeFile(join(folder, 'blobs', '.DS_Store'), 'x');
    await symlink('/nowhere', join(folder, 'blobs', 'dangling'));
    expect(await keysOf(store)).toEqual(['blobs/a']);
  });

  it('removes the folders that a removal empties, but not its root', async () => {
    const folder = await temporaryFolder();
    const store = new FileStore(join(folder, 'store'));
    await store.write('models/a/current.json', new Uint8Array(1));
    await store.remove('models/a/current.json');
    expect(await readdir(join(folder, 'store'))).toEqual([]);
  });

  it('writes while another writer removes the same folder as empty', async () => {
    const folder = await temporaryFolder();
    const store = new FileStore(folder);
    const rounds = Array.from({ length: 200 }, (_, round) => round);
    await Promise.all([
      (async () => {
        for (const round of rounds) await store.write(`a/b/${round}`, new Uint8Array([round]));
      })(),
      (async () => {
        for (const _ of rounds) {
          await store.write('a/b/x', new Uint8Array(1));
          await store.remove('a/b/x');
        }
      })(),
    ]);
    expect(await readFile(join(folder, 'a', 'b', '7'))).toEqual(Buffer.of(7));
    expect(await keysOf(store)).toHaveLength(200);
  });
});

function blobDigest({ sha256, bytes }: { sha256: string; bytes: number }) {
  return { sha256, bytes };
}

async function keysOf(store: FileStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list('')) keys.push(key);
  return keys;
}

async function temporaryFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder);
  return names.filter((name) => name.startsWith(temporaryPrefix)).map((name) => join(folder, name));
}
