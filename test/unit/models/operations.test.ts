import { mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InvalidDataError, NotFoundError } from '../../../artifact/errors.ts';
import { blobsOf } from '../../../artifact/manifest.ts';
import { copyModel } from '../../../artifact/models/copy.ts';
import { inspect, listModels } from '../../../artifact/models/inspect.ts';
import { publish } from '../../../artifact/models/publish.ts';
import { readManifest } from '../../../artifact/models/read.ts';
import { removeModel } from '../../../artifact/models/remove.ts';
import { verify } from '../../../artifact/models/verify.ts';
import { FileStore } from '../../../artifact/store/file.ts';
import { MemoryStore } from '../../../artifact/store/memory.ts';
import { RecordingStore } from '../../fixtures/recording-store.ts';
import { makeStoredModel } from '../../fixtures/stored-model.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

describe('verify', () => {
  it('reports each truncated, flipped and missing blob, and no other', async () => {
    const store = new MemoryStore();
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    const version = await publish(store, 'tiny', manifest, files);
    const whole = await verify(store, 'tiny');
    expect(whole).toMatchObject({ version, blobs: blobsOf(manifest).length, broken: [] });
    const [truncated, flipped, missing] = manifest.weights.map(({ sha256 }) => sha256) as [
      string,
      string,
      string,
    ];
    const object = store.objects.get(`blobs/${truncated}`)!;
    object.bytes = object.bytes.subarray(0, -1);
    store.objects.get(`blobs/${flipped}`)!.bytes[500]! ^= 0x10;
    store.objects.delete(`blobs/${missing}`);
    const { broken } = await verify(store, 'tiny');
    expect(new Map(broken.map(({ sha256, problem }) => [sha256, problem]))).toEqual(
      new Map([
        [truncated, 'has 999 bytes, expected 1000.'],
        [flipped, expect.stringMatching(/^has sha256 [0-9a-f]{64}, expected /)],
        [missing, 'is missing.'],
      ]),
    );
  });
});

describe('copyModel', () => {
  it.each(['memory', 'file'])(
    'from a %s store carries the same version, and moves nothing twice',
    async (kind) => {
      const folder = await temporaryFolder();
      const from = kind === 'file' ? new FileStore(join(folder, 'store')) : new MemoryStore();
      const to = new RecordingStore();
      const { manifest, files } = await makeStoredModel(folder);
      const version = await publish(from, 'tiny', manifest, files);
      const source = { store: from, name: 'tiny' };
      const options = { temporaryFolder: join(folder, 'temporary') };
      expect(await copyModel(source, { store: to, name: 'tiny' }, options)).toBe(version);
      expect((await verify(to, 'tiny')).broken).toEqual([]);
      const before = to.changes.length;
      await copyModel(source, { store: to, name: 'tiny' }, options);
      expect(to.changes).toHaveLength(before);
      await copyModel(source, { store: to, name: 'other' }, options);
      expect(to.changes).toHaveLength(before + 2);
      expect((await readManifest(to, 'other')).manifest).toEqual({ ...manifest, name: 'other' });
    },
  );

  it('names a blob that the local store lost', async () => {
    const folder = await temporaryFolder();
    const from = new FileStore(join(folder, 'store'));
    const { manifest, files } = await makeStoredModel(folder);
    await publish(from, 'tiny', manifest, files);
    const { sha256 } = manifest.weights[0]!;
    await rm(from.localPath(`blobs/${sha256}`)!);
    const copying = copyModel({ store: from, name: 'tiny' }, { store: new MemoryStore(), name: 'tiny' });
    await expect(copying).rejects.toThrow(InvalidDataError);
    await expect(copying).rejects.toThrow(`Blob ${sha256} of tiny is missing in ${from.url}`);
  });

  it('sweeps away what killed copies left a day ago, and nothing of a running one', async () => {
    const temporary = await temporaryFolder();
    const [old, running] = [join(temporary, 'copy-aaaaaa'), join(temporary, 'copy-bbbbbb')];
    for (const folder of [old, running]) {
      await mkdir(folder);
      await writeFile(join(folder, 'blob'), 'x');
    }
    const yesterday = Date.now() / 1000 - 25 * 3600;
    await utimes(old, yesterday, yesterday);
    const from = new MemoryStore();
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    await publish(from, 'tiny', manifest, files);
    const options = { temporaryFolder: temporary };
    await copyModel({ store: from, name: 'tiny' }, { store: new MemoryStore(), name: 'tiny' }, options);
    expect(await readdir(temporary)).toEqual(['copy-bbbbbb']);
  });

  it('does not spread a damaged blob', async () => {
    const folder = await temporaryFolder();
    const from = new MemoryStore();
    const { manifest, files } = await makeStoredModel(folder);
    await publish(from, 'tiny', manifest, files);
    from.objects.get(`blobs/${manifest.graph.sha256}`)!.bytes[0]! ^= 1;
    const to = new MemoryStore();
    const copying = copyModel(
      { store: from, name: 'tiny' },
      { store: to, name: 'tiny' },
      { temporaryFolder: folder },
    );
    await expect(copying).rejects.toThrow(InvalidDataError);
    await expect(readManifest(to, 'tiny')).rejects.toThrow(NotFoundError);
  });
});

describe('removeModel', () => {
  it('removes the pointer first, then every version, and keeps the blobs', async () => {
    const store = new RecordingStore();
    const one = await makeStoredModel(await temporaryFolder(), { seed: 1 });
    const two = await makeStoredModel(await temporaryFolder(), { seed: 2 });
    await publish(store, 'tiny', one.manifest, one.files);
    await publish(store, 'tiny', two.manifest, two.files);
    store.changes.length = 0;
    expect(await removeModel(store, 'tiny')).toBe(2);
    expect(store.changes).toHaveLength(3);
    expect(store.changes[0]).toBe('-models/tiny/current.json');
    const left = [...store.objects.keys()];
    expect(left).not.toHaveLength(0);
    expect(left.every((key) => key.startsWith('blobs/'))).toBe(true);
    await expect(removeModel(store, 'tiny')).rejects.toThrow(NotFoundError);
  });

  it('finishes a removal that was interrupted after the pointer', async () => {
    const store = new MemoryStore();
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    await publish(store, 'tiny', manifest, files);
    store.objects.delete('models/tiny/current.json');
    expect(await removeModel(store, 'tiny')).toBe(1);
  });
});

describe('inspect and list', () => {
  it('sums up a model', async () => {
    const store = new MemoryStore();
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    const version = await publish(store, 'tiny', manifest, files);
    const summary = await inspect(store, 'tiny');
    expect(summary).toMatchObject({
      name: 'tiny',
      architecture: 'llama',
      layers: manifest.layers,
      distinctBlocks: 3,
      bytes: 700 + 900 + 3 * 1000 + 5000 + 300,
      parameters: 60_000,
      originalParameters: 100_000,
      quantization: manifest.quantization,
      exceptions: [],
      narrower: [],
      method: 'influence',
      version,
    });
    const roles = summary.blobs.map(({ role }) => role);
    expect(roles).toEqual(['graph', 'tokenizer.json', 'block 0', 'block 1', 'block 2', 'embedding', 'norms']);
    expect(JSON.parse(JSON.stringify(summary))).toEqual(summary);
  });

  it('lists models in order, and a damaged one with its problem', async () => {
    const store = new MemoryStore();
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    for (const name of ['b', 'a-b', 'a', 'c']) await publish(store, name, manifest, files);
    await store.write('models/b/current.json', new TextEncoder().encode('oops'));
    const models = await listModels(store);
    expect(models.map(({ name }) => name)).toEqual(['a', 'a-b', 'b', 'c']);
    expect(models.map((model) => 'problem' in model)).toEqual([false, false, true, false]);
  });
});
