import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { InvalidDataError } from '../../../artifact/errors.ts';
import { collectGarbage } from '../../../artifact/models/garbage.ts';
import { publish } from '../../../artifact/models/publish.ts';
import { readManifest } from '../../../artifact/models/read.ts';
import { removeModel } from '../../../artifact/models/remove.ts';
import { verify } from '../../../artifact/models/verify.ts';
import { MemoryStore } from '../../../artifact/store/memory.ts';
import { makeStoredModel } from '../../fixtures/stored-model.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const hour = 60 * 60 * 1000;

function ageAll(store: MemoryStore, ms: number): void {
  for (const object of store.objects.values()) object.modified = new Date(Date.now() - ms);
}

const keysOf = (objects: { key: string }[]) => objects.map(({ key }) => key).toSorted();

/** A store with models `one` and `two`, which share embedding, norms and tokenizer. */
async function twoModels() {
  const store = new MemoryStore();
  const one = await makeStoredModel(await temporaryFolder(), { seed: 1 });
  const two = await makeStoredModel(await temporaryFolder(), { seed: 2 });
  await publish(store, 'one', one.manifest, one.files);
  await publish(store, 'two', two.manifest, two.files);
  const own = (model: typeof one) =>
    [model.manifest.graph, ...model.manifest.weights.filter(({ kind }) => kind === 'block')].map(
      ({ sha256 }) => `blobs/${sha256}`,
    );
  return { store, one, two, ownOfOne: own(one).toSorted(), ownOfTwo: own(two).toSorted() };
}

describe('collectGarbage', () => {
  it('deletes nothing that a manifest names, however old', async () => {
    const { store } = await twoModels();
    ageAll(store, 1000 * hour);
    const before = [...store.objects.keys()];
    expect(await collectGarbage(store)).toEqual({ manifests: [], prefixes: [], blobs: [], uploads: 0 });
    expect([...store.objects.keys()]).toEqual(before);
  });

  it('deletes what only a removed model needed', async () => {
    const { store, ownOfOne } = await twoModels();
    await removeModel(store, 'one');
    ageAll(store, 25 * hour);
    expect(keysOf((await collectGarbage(store)).blobs)).toEqual(ownOfOne);
    expect((await verify(store, 'two')).broken).toEqual([]);
    expect(await collectGarbage(store)).toEqual({ manifests: [], prefixes: [], blobs: [], uploads: 0 });
  });

  it('never deletes what is younger than the age, by default a day', async () => {
    const { store, ownOfOne } = await twoModels();
    await removeModel(store, 'one');
    ageAll(store, 23 * hour);
    expect((await collectGarbage(store)).blobs).toEqual([]);
    expect((await collectGarbage(store, { olderThanMs: 24 * hour })).blobs).toEqual([]);
    expect(keysOf((await collectGarbage(store, { olderThanMs: 22 * hour })).blobs)).toEqual(ownOfOne);
  });

  it('deletes nothing in a dry run, and says what a real one would delete', async () => {
    const { store, one, ownOfOne } = await twoModels();
    await publish(store, 'two', one.manifest, one.files); // Supersedes the other version.
    await removeModel(store, 'one');
    ageAll(store, 25 * hour);
    const before = [...store.objects.keys()];
    const planned = await collectGarbage(store, { dryRun: true, superseded: true });
    expect([...store.objects.keys()]).toEqual(before);
    const done = await collectGarbage(store, { superseded: true });
    expect(planned).toEqual(done);
    expect(done.blobs).toHaveLength(ownOfOne.length);
  });

  it('keeps superseded versions unless told otherwise', async () => {
    const { store, one, ownOfTwo } = await twoModels();
    const { digest } = await readManifest(store, 'two');
    await publish(store, 'two', one.manifest, one.files);
    ageAll(store, 25 * hour);
    expect(await collectGarbage(store)).toEqual({ manifests: [], prefixes: [], blobs: [], uploads: 0 });
    const { manifests, blobs } = await collectGarbage(store, { superseded: true });
    expect(keysOf(manifests)).toEqual([`models/two/manifests/${digest}.json`]);
    expect(keysOf(blobs)).toEqual(ownOfTwo);
    expect((await verify(store, 'two')).broken).toEqual([]);
    expect((await verify(store, 'one')).broken).toEqual([]);
  });

  it('keeps a young superseded version, which may be one that is just being published', async () => {
    const { store } = await twoModels();
    store.objects.delete('models/two/current.json');
    const { manifests } = await collectGarbage(store, { superseded: true });
    expect(manifests).toEqual([]);
  });

  it('deletes nothing when a manifest cannot be read', async () => {
    const { store } = await twoModels();
    const { digest } = await readManifest(store, 'two');
    await removeModel(store, 'one');
    await store.write(`models/two/manifests/${digest}.json`, new TextEncoder().encode('{}'));
    ageAll(store, 25 * hour);
    const before = [...store.objects.keys()];
    await expect(collectGarbage(store)).rejects.toThrow(InvalidDataError);
    expect([...store.objects.keys()]).toEqual(before);
  });

  it('spares a blob that a publication touched while it was collecting', async () => {
    const { store, one } = await twoModels();
    await removeModel(store, 'one');
    ageAll(store, 25 * hour);
    // A publication finds the blob between the reading of the manifests and the deletion.
    const victim = `blobs/${one.manifest.graph.sha256}`;
    const head = store.head.bind(store);
    store.head = async (key, options) => {
      if (key === victim) await store.touch(key);
      return await head(key, options);
    };
    const { blobs } = await collectGarbage(store);
    expect(keysOf(blobs)).not.toContain(victim);
    expect(store.objects.has(victim)).toBe(true);
    expect(blobs).toHaveLength(3);
  });

  it('leaves what is no blob alone', async () => {
    const { store } = await twoModels();
    await store.write('blobs/README', new Uint8Array(1));
    await store.write('other/thing', new Uint8Array(1));
    ageAll(store, 25 * hour);
    expect((await collectGarbage(store)).blobs).toEqual([]);
  });

  it('may run again and again while models are published', async () => {
    const store = new MemoryStore();
    const models = await Promise.all(
      [1, 2, 3].map(async (seed) => makeStoredModel(await temporaryFolder(), { seed })),
    );
    let publishing = true;
    const collecting = (async () => {
      while (publishing) {
        await setImmediate(); // The publications read files, for which the event loop must turn.
        // An age far below the default, yet longer than a publication: what the rule asks for.
        await collectGarbage(store, { olderThanMs: 5000, superseded: true });
        for (const [key, object] of store.objects) {
          // Time flies for what nobody touched: every blob found here is old unless it was just written.
          if (key.startsWith('blobs/') && Date.now() - object.modified.getTime() > 50) {
            object.modified = new Date(Date.now() - 2 * hour);
          }
        }
      }
    })();
    for (let round = 0; round < 20; round++) {
      for (const { manifest, files } of models) {
        await publish(store, 'tiny', manifest, files);
        expect((await verify(store, 'tiny')).broken).toEqual([]);
      }
      await removeModel(store, 'tiny');
    }
    publishing = false;
    await collecting;
  });
});
