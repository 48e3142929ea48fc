import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InvalidDataError, NotFoundError, UsageError } from '../../../artifact/errors.ts';
import { blobsOf, cachedLayers, parseManifest, schemaVersionOf } from '../../../artifact/manifest.ts';
import { publish } from '../../../artifact/models/publish.ts';
import { readManifest } from '../../../artifact/models/read.ts';
import { verify } from '../../../artifact/models/verify.ts';
import { MemoryStore } from '../../../artifact/store/memory.ts';
import { RecordingStore } from '../../fixtures/recording-store.ts';
import { makeStoredModel, noise } from '../../fixtures/stored-model.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const oneHour = 60 * 60 * 1000;

function age(store: MemoryStore, key: string, ms: number): void {
  store.objects.get(key)!.modified = new Date(Date.now() - ms);
}

describe('publish', () => {
  it('writes the blobs, then the manifest, then the pointer', async () => {
    const store = new RecordingStore();
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    const version = await publish(store, 'tiny', manifest, files);
    expect(store.changes.slice(0, -2).toSorted()).toEqual(
      blobsOf(manifest)
        .map(({ sha256 }) => `blobs/${sha256}`)
        .toSorted(),
    );
    expect(store.changes.slice(-2)).toEqual([
      `models/tiny/manifests/${version}.json`,
      'models/tiny/current.json',
    ]);
    expect((await readManifest(store, 'tiny')).manifest).toEqual(manifest);
  });

  it('shows readers nothing or everything, wherever it is cut off, and resumes', async () => {
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    const store = new RecordingStore();
    const steps = blobsOf(manifest).length + 2;
    for (let failAt = 0; failAt < steps; failAt++) {
      store.failAt = failAt;
      await expect(publish(store, 'tiny', manifest, files)).rejects.toThrow('the network is gone');
      await expect(readManifest(store, 'tiny')).rejects.toThrow(NotFoundError);
      expect(store.changes).toHaveLength(failAt); // Nothing was sent twice.
    }
    store.failAt = Infinity;
    await publish(store, 'tiny', manifest, files);
    expect(store.changes).toHaveLength(steps);
    expect((await verify(store, 'tiny')).broken).toEqual([]);
  });

  it('changes nothing when it is run again', async () => {
    const store = new RecordingStore();
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    const first = await publish(store, 'tiny', manifest, files);
    const before = store.changes.length;
    const pointer = store.objects.get('models/tiny/current.json');
    expect(await publish(store, 'tiny', manifest, files)).toBe(first);
    expect(store.changes).toHaveLength(before);
    expect(store.objects.get('models/tiny/current.json')).toEqual(pointer);
  });

  it('shares the blobs of variants', async () => {
    const store = new MemoryStore();
    const one = await makeStoredModel(await temporaryFolder(), { seed: 1 });
    const two = await makeStoredModel(await temporaryFolder(), { seed: 2 });
    await publish(store, 'one', one.manifest, one.files);
    const before = store.objects.size;
    await publish(store, 'two', two.manifest, two.files);
    // The graph and three blocks differ; embedding, norms and tokenizer do not. Plus manifest and pointer.
    expect(store.objects.size - before).toBe(4 + 2);
  });

  it('reports every byte once, those it skipped too', async () => {
    const store = new MemoryStore();
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    const total = blobsOf(manifest).reduce((sum, blob) => sum + blob.bytes, 0);
    for (const _ of ['sent', 'skipped']) {
      let moved = 0;
      const onProgress = (bytes: number) => {
        moved += bytes;
      };
      await publish(store, 'tiny', manifest, files, { onProgress });
      expect(moved).toBe(total);
    }
  });

  it('sends a blob again that has the wrong size in the store, or with `rewrite` any', async () => {
    const store = new MemoryStore();
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    await publish(store, 'tiny', manifest, files);
    const [truncated, flipped] = manifest.weights.map(({ sha256 }) => `blobs/${sha256}`) as [string, string];
    await store.write(truncated, noise(5, 1));
    await publish(store, 'tiny', manifest, files);
    expect((await verify(store, 'tiny')).broken).toEqual([]);
    store.objects.get(flipped)!.bytes[3]! ^= 1;
    await publish(store, 'tiny', manifest, files, { rewrite: true });
    expect((await verify(store, 'tiny')).broken).toEqual([]);
  });

  it('touches old blobs it relies on, so that no garbage collection takes them', async () => {
    const store = new MemoryStore();
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    await publish(store, 'tiny', manifest, files);
    for (const key of store.objects.keys()) age(store, key, 48 * oneHour);
    await publish(store, 'again', manifest, files);
    for (const { sha256 } of blobsOf(manifest)) {
      const { modified } = store.objects.get(`blobs/${sha256}`)!;
      expect(Date.now() - modified.getTime()).toBeLessThan(oneHour);
    }
  });

  it('brings back a blob that vanished between its check and the manifest', async () => {
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    const victim = `blobs/${manifest.weights[0]!.sha256}`;
    class Collected extends MemoryStore {
      override async write(...args: Parameters<MemoryStore['write']>): Promise<boolean> {
        const written = await super.write(...args);
        if (args[0].includes('/manifests/')) this.objects.delete(victim);
        return written;
      }
    }
    const store = new Collected();
    await publish(store, 'tiny', manifest, files);
    expect((await verify(store, 'tiny')).broken).toEqual([]);
  });

  it('refuses files that are not what the manifest says, and publishes nothing', async () => {
    const folder = await temporaryFolder();
    const { manifest, files } = await makeStoredModel(folder);
    const store = new MemoryStore();
    const victim = manifest.weights[1]!;
    await writeFile(join(folder, victim.sha256), noise(victim.bytes, 99));
    await expect(publish(store, 'tiny', manifest, files)).rejects.toThrow(InvalidDataError);
    await rm(join(folder, victim.sha256));
    await expect(publish(store, 'tiny', manifest, files)).rejects.toThrow(InvalidDataError);
    files.delete(victim.sha256);
    await expect(publish(store, 'tiny', manifest, files)).rejects.toThrow(victim.sha256);
    await expect(readManifest(store, 'tiny')).rejects.toThrow(NotFoundError);
  });

  it('refuses a manifest it could not read back, before anything is sent', async () => {
    const store = new RecordingStore();
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    const wrong = { ...manifest, layers: [] };
    await expect(publish(store, 'tiny', wrong, files)).rejects.toThrow(InvalidDataError);
    await expect(publish(store, '../tiny', manifest, files)).rejects.toThrow(UsageError);
    expect(store.changes).toEqual([]);
  });

  it('is stopped by its signal, before the pointer', async () => {
    const store = new RecordingStore();
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    const controller = new AbortController();
    const onProgress = () => controller.abort();
    const publishing = publish(store, 'tiny', manifest, files, { signal: controller.signal, onProgress });
    await expect(publishing).rejects.toMatchObject({ name: 'AbortError' });
    expect(store.changes.filter((key) => key.startsWith('models/'))).toEqual([]);
  });
});

describe('readManifest', () => {
  it('names the models that exist', async () => {
    const store = new MemoryStore();
    await expect(readManifest(store, 'tiny')).rejects.toThrow(/no model tiny in memory:.*no models at all/);
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    await publish(store, 'one', manifest, files);
    await publish(store, 'two', manifest, files);
    await expect(readManifest(store, 'tiny')).rejects.toThrow('There are: one, two.');
  });

  it('refuses a manifest that was changed, and a pointer that is none', async () => {
    const store = new MemoryStore();
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    const version = await publish(store, 'tiny', manifest, files);
    const key = `models/tiny/manifests/${version}.json`;
    const text = new TextDecoder().decode(await store.read(key));
    await store.write(key, new TextEncoder().encode(text.replace('"llama"', '"lemma"')));
    await expect(readManifest(store, 'tiny')).rejects.toThrow(/it was changed/);
    await store.remove(key);
    await expect(readManifest(store, 'tiny')).rejects.toThrow(InvalidDataError);
    await store.write('models/tiny/current.json', new TextEncoder().encode('{"manifest": "../../secret"}'));
    await expect(readManifest(store, 'tiny')).rejects.toThrow(InvalidDataError);
    await publish(store, 'tiny', manifest, files); // Repairs all of it.
    expect((await readManifest(store, 'tiny')).digest).toBe(version);
  });

  it('reads models with halves of layers, by the version that older readers refuse, and no later one', async () => {
    const store = new MemoryStore();
    const { manifest, files } = await makeStoredModel(await temporaryFolder());
    const layers = manifest.layers.map((layer, i) => (i === 1 ? { ...layer, half: 'mlp' as const } : layer));
    expect([manifest.layers, layers].map(schemaVersionOf)).toEqual([1, 2]);
    const halved = { ...manifest, name: 'halved', layers, schemaVersion: schemaVersionOf(layers) };
    await publish(store, 'halved', halved, files);
    const read = (await readManifest(store, 'halved')).manifest;
    expect(read).toEqual(halved);
    expect(cachedLayers(read.layers)).toBe(layers.length - 1);
    const bytes = (version: number) =>
      new TextEncoder().encode(JSON.stringify({ ...halved, schemaVersion: version }));
    expect(() => parseManifest(bytes(3), 'x')).toThrow(
      'schema version 3; this Foldgate reads versions 1 and 2',
    );
  });

  it('follows the pointer when the version it named vanishes at that moment', async () => {
    const one = await makeStoredModel(await temporaryFolder(), { seed: 1 });
    const two = await makeStoredModel(await temporaryFolder(), { seed: 2 });
    class Superseded extends MemoryStore {
      moved = false;
      override async read(...args: Parameters<MemoryStore['read']>): Promise<Uint8Array> {
        if (args[0].includes('/manifests/') && !this.moved) {
          this.moved = true;
          await publish(this, 'tiny', two.manifest, two.files);
          await this.remove(args[0]);
        }
        return await super.read(...args);
      }
    }
    const store = new Superseded();
    await publish(store, 'tiny', one.manifest, one.files);
    expect((await readManifest(store, 'tiny')).manifest).toEqual(two.manifest);
  });
});
