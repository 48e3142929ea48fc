import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { bytesOf, type Manifest } from '../../artifact/manifest.ts';
import { copyModel } from '../../artifact/models/copy.ts';
import { manifestKey, pointerKey } from '../../artifact/models/layout.ts';
import { readManifest } from '../../artifact/models/read.ts';
import { sha256 } from '../../artifact/store/digest.ts';
import { FileStore } from '../../artifact/store/file.ts';
import { MemoryStore } from '../../artifact/store/memory.ts';
import type { Store } from '../../artifact/store/store.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { memoryOf, StoredModels, type StoredModelsOptions } from '../../functions/gateway/stored-models.ts';
import { loadModel } from '../../functions/model/load-model.ts';
import type { LoadedModel } from '../../functions/model/loaded-model.ts';
import { foldInto } from '../fixtures/fold-into.ts';
import { golden, picoPath } from '../fixtures/pico.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

const load = { threads: 1, slots: 2, spinning: false };

/** Downloads are counted: nothing of it is on this machine. */
class CountingStore extends MemoryStore {
  readonly downloads: string[] = [];

  override async download(...args: Parameters<MemoryStore['download']>): Promise<void> {
    this.downloads.push(args[0]);
    await super.download(...args);
  }
}

/** A store with `whole`, and `fewer` of the same blocks. */
async function stored(): Promise<CountingStore> {
  const folder = await temporaryFolder();
  const checkpoint = await openCheckpoint(picoPath('llama'));
  await foldInto(folder, checkpoint, { name: 'whole' });
  await foldInto(folder, checkpoint, { name: 'fewer', remove: 0.34, scores: [3, 1, 2] });
  await checkpoint.close();
  const [local, store] = [new FileStore(join(folder, 'store')), new CountingStore()];
  for (const name of ['whole', 'fewer']) await copyModel({ store: local, name }, { store, name });
  return store;
}

/** Publishes another version of a model: the same weights, something else in its description. */
async function publishAgain(store: Store, name: string, change: Partial<Manifest>): Promise<void> {
  const { manifest } = await readManifest(store, name);
  const bytes = new TextEncoder().encode(JSON.stringify({ ...manifest, ...change }));
  const version = sha256(bytes);
  await store.write(manifestKey(name, version), bytes);
  const pointer = { manifest: version, publishedAt: new Date().toISOString() };
  await store.write(pointerKey(name), new TextEncoder().encode(JSON.stringify(pointer)));
}

async function served(store: Store, options: StoredModelsOptions) {
  const cacheFolder = await temporaryFolder();
  const models = await StoredModels.open(store, {
    load: { ...load, cacheFolder },
    refreshMs: 0,
    ...options,
  });
  onTestFinished(() => models[Symbol.asyncDispose]());
  return models;
}

async function greedyText({ engine }: LoadedModel): Promise<number[]> {
  const prompt = (await golden('llama')).tokens.slice(0, 20);
  const sampling = { temperature: 0, topP: 1, topK: 0, minP: 0 };
  const made: number[] = [];
  const request = { prompt, sampling, maxTokens: 90, stopTokens: [], delivery: 'end' as const };
  for await (const { tokens } of engine.generate(request)) made.push(...tokens);
  return made;
}

it('comes with its model, each blob that both have once, and changes no text', async () => {
  const store = await stored();
  const [whole, fewer] = [await readManifest(store, 'whole'), await readManifest(store, 'fewer')];
  const shared = whole.manifest.weights.filter(({ sha256: one }) =>
    fewer.manifest.weights.some(({ sha256: other }) => one === other),
  );
  expect(shared.length).toBeGreaterThan(2);
  const progress: [number, number][] = [];
  const fetched: string[] = [];
  const options = {
    ...load,
    cacheFolder: await temporaryFolder(),
    onProgress: (done: number, total: number) => progress.push([done, total]),
    onFetched: ({ sha256, kind }: { sha256: string; kind: string }) => fetched.push(`${kind} ${sha256}`),
  };
  const drafted = await loadModel(store, 'whole', { ...options, draft: 'fewer' });
  onTestFinished(() => drafted.engine[Symbol.asyncDispose]());
  const blobs = store.downloads.filter((key) => key.startsWith('blobs/'));
  expect(new Set(blobs).size).toBe(blobs.length);
  expect(fetched).toHaveLength(blobs.length);
  expect(fetched.filter((blob) => blob.startsWith('graph'))).toHaveLength(2);
  const total = bytesOf(whole.manifest) + bytesOf(fewer.manifest);
  expect(progress.at(-1)).toEqual([total, total]);
  expect(drafted.draft).toMatchObject({ name: 'fewer', digest: fewer.digest });

  const plain = await loadModel(store, 'whole', { ...options, speculation: false });
  onTestFinished(() => plain.engine[Symbol.asyncDispose]());
  expect(await greedyText(drafted)).toEqual(await greedyText(plain));
});

it('is refused where it does not speak the same tokens, in words', async () => {
  const store = await stored();
  const { manifest } = await readManifest(store, 'fewer');
  const { dimensions, tokenizer } = manifest;
  await publishAgain(store, 'fewer', { dimensions: { ...dimensions, vocabularySize: 300 } });
  const loading = () => loadModel(store, 'whole', { ...load, draft: 'fewer' });
  await expect(loading()).rejects.toThrow(
    /^fewer cannot draft for whole: their vocabularies have 288 and 300 tokens\. Name a model/,
  );
  const other = { ...tokenizer, 'tokenizer.json': { sha256: 'ab'.repeat(32), bytes: 5 } };
  await publishAgain(store, 'fewer', { dimensions, tokenizer: other });
  await expect(loading()).rejects.toThrow(/their tokenizers differ \(\w{12} and abababababab\)/);
  await expect(loadModel(store, 'whole', { ...load, draft: 'none' })).rejects.toThrow('none');
  expect(store.downloads).toEqual([]);
});

it('is served, counted as memory, and followed to its new versions', async () => {
  const store = await stored();
  const [whole, fewer] = [await readManifest(store, 'whole'), await readManifest(store, 'fewer')];
  const [alone, both] = [memoryOf(whole), memoryOf({ ...whole, draft: fewer })];
  // Its weights, and 128 tokens of keys and values, at least.
  const weights = fewer.manifest.weights.reduce(
    (sum, { kind, bytes }) => sum + (kind === 'block' ? bytes : 0),
    0,
  );
  expect(both - alone).toBeGreaterThan(weights + 128 * 2 * 2 * 2 * 4);
  const draftOf = (name: string) => (name === 'whole' ? 'fewer' : undefined);
  const small = await served(store, { draftOf, memoryBytes: (alone + both) / 2 });
  await expect(small.require('whole').load()).rejects.toMatchObject({
    cause: { message: expect.stringContaining('all models together may take') },
  });

  const models = await served(store, { draftOf });
  const loaded = await models.require('whole').load();
  expect(loaded.draft?.digest).toBe(fewer.digest);
  expect((await models.require('fewer').load()).draft).toBeUndefined();
  await models.refresh();
  expect(models.require('whole').loaded).toBe(loaded);
  await publishAgain(store, 'fewer', { parameters: { original: 1, folded: 1 } });
  await models.refresh();
  const renewed = models.require('whole').loaded!;
  expect(renewed.version).toBe(loaded.version);
  expect(renewed.draft?.digest).toBe((await readManifest(store, 'fewer')).digest);
});
