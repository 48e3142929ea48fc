import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InvalidDataError, NotFoundError, UsageError } from '../../../artifact/errors.ts';
import { copyModel } from '../../../artifact/models/copy.ts';
import { collectGarbage } from '../../../artifact/models/garbage.ts';
import { inspect } from '../../../artifact/models/inspect.ts';
import { blobKey, prefixKey } from '../../../artifact/models/layout.ts';
import { publish } from '../../../artifact/models/publish.ts';
import { removeModel } from '../../../artifact/models/remove.ts';
import { verify } from '../../../artifact/models/verify.ts';
import { type PrefixEntry, prefixSchemaVersion } from '../../../artifact/prefixes/entry.ts';
import { publishPrefix, removePrefix } from '../../../artifact/prefixes/publish.ts';
import { readPrefixes } from '../../../artifact/prefixes/read.ts';
import { sha256 } from '../../../artifact/store/digest.ts';
import { FileStore } from '../../../artifact/store/file.ts';
import { MemoryStore } from '../../../artifact/store/memory.ts';
import type { Store } from '../../../artifact/store/store.ts';
import { RecordingStore } from '../../fixtures/recording-store.ts';
import { makeStoredModel, noise } from '../../fixtures/stored-model.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const now = { olderThanMs: 0 };

/** An entry for a graph and the file of its keys and values, which are noise. */
async function madePrefix(graph: string, tokens = [1, 2, 3, 4], seed = 1) {
  const cache = { elementType: 'float32', arrays: 4, kvHeads: 2, headSize: 8 };
  const bytes = noise(4 * 2 * 8 * 4 * tokens.length, seed);
  const file = join(await temporaryFolder(), 'prefix');
  await writeFile(file, bytes);
  const entry: PrefixEntry = {
    schemaVersion: prefixSchemaVersion,
    tokens,
    graph,
    cache,
    blob: { sha256: sha256(bytes), bytes: bytes.length },
    computeMs: 5,
    createdAt: '2026-11-24T12:00:00.000Z',
    version: '0.1.0',
  };
  return { entry, file };
}

/** A model `tiny` in the store, with a prefix `system`. */
async function withPrefix(store: Store) {
  const { manifest, files } = await makeStoredModel(await temporaryFolder());
  await publish(store, 'tiny', manifest, files);
  const graph = manifest.graph.sha256;
  const { entry, file } = await madePrefix(graph);
  await publishPrefix(store, 'tiny', 'system', entry, file);
  return { manifest, files, graph, entry, file, key: blobKey(entry.blob.sha256) };
}

const kinds = {
  memory: async () => new MemoryStore(),
  file: async () => new FileStore(await temporaryFolder()),
};

describe.each(Object.entries(kinds))('prefixes in a %s store', (_, makeStore) => {
  it('are found by the graph that computed them alone', async () => {
    const store = await makeStore();
    const { graph, entry } = await withPrefix(store);
    expect(await readPrefixes(store, 'tiny', [graph])).toEqual([{ ...entry, name: 'system' }]);
    expect(await readPrefixes(store, 'tiny', ['f'.repeat(64)])).toEqual([]);
    expect(await readPrefixes(store, 'other', [graph])).toEqual([]);
    expect((await inspect(store, 'tiny')).prefixes).toEqual([
      { name: 'system', tokens: 4, elementType: 'float32', ...entry.blob },
    ]);
  });

  it('keep their blobs as long as a version of their model can use them', async () => {
    const store = await makeStore();
    const { graph, key } = await withPrefix(store);
    const nothing = { manifests: [], prefixes: [], blobs: [], uploads: 0 };
    expect(await collectGarbage(store, now)).toEqual(nothing);
    const next = await makeStoredModel(await temporaryFolder(), { seed: 2 });
    await publish(store, 'tiny', next.manifest, next.files);
    expect(await collectGarbage(store, now)).toEqual(nothing); // the version before may come back
    const planned = await collectGarbage(store, { ...now, superseded: true, dryRun: true });
    expect(await store.head(key)).toBeDefined();
    const done = await collectGarbage(store, { ...now, superseded: true });
    expect(done).toEqual(planned);
    expect(done.prefixes.map(({ key }) => key)).toEqual([prefixKey('tiny', graph, 'system')]);
    expect(await store.head(key)).toBeUndefined();
    expect((await verify(store, 'tiny')).broken).toEqual([]);
  });

  it('leave their blobs to the collection when they are removed', async () => {
    const store = await makeStore();
    const { graph, key } = await withPrefix(store);
    await removePrefix(store, 'tiny', [graph], 'system');
    await expect(removePrefix(store, 'tiny', [graph], 'system')).rejects.toThrow(NotFoundError);
    expect((await collectGarbage(store, now)).blobs.map(({ key }) => key)).toEqual([key]);
  });

  it('go where their model goes', async () => {
    const store = await makeStore();
    const { graph, key } = await withPrefix(store);
    const target = await makeStore();
    await copyModel({ store, name: 'tiny' }, { store: target, name: 'copy' });
    expect((await readPrefixes(target, 'copy', [graph])).map(({ name }) => name)).toEqual(['system']);
    expect((await verify(target, 'copy')).broken).toEqual([]);
    await removeModel(target, 'copy');
    expect(await readPrefixes(target, 'copy', [graph])).toEqual([]);
    await collectGarbage(target, now);
    expect(await target.head(key)).toBeUndefined();
  });

  it('are verified with their model, and repaired by adding them again', async () => {
    const store = await makeStore();
    const { entry, file, key } = await withPrefix(store);
    expect(await verify(store, 'tiny')).toMatchObject({ broken: [] });
    await store.write(key, noise(entry.blob.bytes, 9));
    const { broken } = await verify(store, 'tiny');
    expect(broken).toEqual([{ sha256: entry.blob.sha256, problem: expect.stringMatching(/^has sha256/) }]);
    await publishPrefix(store, 'tiny', 'system', entry, file);
    expect((await verify(store, 'tiny')).broken).toEqual([]);
  });

  it('are not replaced by other tokens', async () => {
    const store = await makeStore();
    const { graph, entry } = await withPrefix(store);
    const other = await madePrefix(graph, [1, 2, 3, 5], 2);
    const adding = publishPrefix(store, 'tiny', 'system', other.entry, other.file);
    await expect(adding).rejects.toThrow(UsageError);
    await expect(adding).rejects.toThrow(/another prefix system \(4 tokens\). Remove it first/);
    expect(await store.head(blobKey(other.entry.blob.sha256))).toBeUndefined();
    expect(await readPrefixes(store, 'tiny', [graph])).toEqual([{ ...entry, name: 'system' }]);
    const bad = publishPrefix(store, 'tiny', '../system', other.entry, other.file);
    await expect(bad).rejects.toThrow(/no name of a prefix/);
  });
});

it('shows nothing of a publication that was interrupted, and goes on with it', async () => {
  const store = new RecordingStore();
  const { manifest, files } = await makeStoredModel(await temporaryFolder());
  await publish(store, 'tiny', manifest, files);
  const graph = manifest.graph.sha256;
  const { entry, file } = await madePrefix(graph);
  const before = store.changes.length;
  for (const changes of [0, 1]) {
    store.failAt = before + changes;
    await expect(publishPrefix(store, 'tiny', 'system', entry, file)).rejects.toThrow(/network/);
    expect(await readPrefixes(store, 'tiny', [graph])).toEqual([]);
  }
  store.failAt = Infinity;
  await publishPrefix(store, 'tiny', 'system', entry, file);
  const [blob, ...rest] = store.changes.slice(before);
  expect(blob).toBe(blobKey(entry.blob.sha256));
  expect(rest.at(-1)).toBe(prefixKey('tiny', graph, 'system'));
  expect(await readPrefixes(store, 'tiny', [graph])).toHaveLength(1);
});

it('refuses an entry that it does not understand, and then deletes nothing', async () => {
  const store = new MemoryStore();
  const { graph, entry } = await withPrefix(store);
  const key = prefixKey('tiny', graph, 'system');
  for (const bytes of ['{', JSON.stringify({ ...entry, schemaVersion: 2 })]) {
    await store.write(key, Buffer.from(bytes));
    await expect(readPrefixes(store, 'tiny', [graph])).rejects.toThrow(InvalidDataError);
    const objects = store.objects.size;
    await expect(collectGarbage(store, now)).rejects.toThrow(/system\.json .* Remove the prefix/s);
    expect(store.objects.size).toBe(objects);
  }
});
