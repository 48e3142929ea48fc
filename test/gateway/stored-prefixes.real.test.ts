import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { copyModel } from '../../artifact/models/copy.ts';
import { collectGarbage } from '../../artifact/models/garbage.ts';
import { inspect } from '../../artifact/models/inspect.ts';
import { blobKey, prefixKey } from '../../artifact/models/layout.ts';
import { readManifest } from '../../artifact/models/read.ts';
import { verify } from '../../artifact/models/verify.ts';
import { FileStore } from '../../artifact/store/file.ts';
import { MemoryStore } from '../../artifact/store/memory.ts';
import type { Store } from '../../artifact/store/store.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { prometheusMetrics } from '../../functions/gateway/observe/prometheus.ts';
import { serve } from '../../functions/gateway/serve.ts';
import { StoredModels } from '../../functions/gateway/stored-models.ts';
import type { LoadOptions } from '../../functions/model/load-model.ts';
import { foldInto } from '../fixtures/fold-into.ts';
import { clientOf } from '../fixtures/gateway.ts';
import { golden, picoPath } from '../fixtures/pico.ts';
import { storedPico } from '../fixtures/served-pico.ts';
import { storePrefix } from '../fixtures/stored-prefix.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

/** A folder with a model, and one that has to be fetched from. */
async function stores(): Promise<{ local: FileStore; remote: MemoryStore }> {
  const { storeUrl } = await storedPico('llama');
  const local = new FileStore(fileURLToPath(storeUrl));
  const remote = new MemoryStore();
  await copyModel({ store: local, name: 'pico' }, { store: remote, name: 'pico' });
  return { local, remote };
}

/** Serves a store's models in a process that has seen nothing yet. */
async function started(store: Store, load: LoadOptions = {}) {
  const failures: string[] = [];
  const cacheFolder = load.cacheFolder ?? (await temporaryFolder());
  const models = await StoredModels.open(store, {
    load: { threads: 1, slots: 2, spinning: false, cacheFolder, ...load },
    refreshMs: 0,
    onPrefixFailure: (_name, error) => failures.push(error.message),
  });
  const server = await serve(models, { port: 0, host: '127.0.0.1', metrics: prometheusMetrics() });
  onTestFinished(() => server.close(0));
  const client = clientOf(server);
  const ask = async (prompt: number[], more: object = {}) => {
    const body = { model: 'pico', prompt, max_tokens: 12, temperature: 0, ...more };
    const { choices, usage } = await client.completions.create(body);
    return { text: choices[0]!.text, cached: usage!.prompt_tokens_details?.cached_tokens ?? 0 };
  };
  return { ask, failures, models, client, server, cacheFolder };
}

const tokensOf = async () => (await golden('llama')).tokens;

/** Long enough that fetching always pays. */
const slowToCompute = { computeMs: 600_000 };

it('answers from a stored prefix what it answers without, and counts its tokens', async () => {
  const { local } = await stores();
  const tokens = await tokensOf();
  const plain = await (await started(local)).ask(tokens);
  expect(plain.cached).toBe(0);
  await storePrefix(local, 'pico', 'system', tokens.slice(0, 33));
  const { ask, server, failures } = await started(local);
  expect(await ask(tokens)).toEqual({ text: plain.text, cached: 32 }); // an odd token is left out
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  expect(metrics).toContain('foldgate:stored_prefix_hits_total{model_name="pico"} 32');
  expect(failures).toEqual([]);
});

it('gives it to all salts, and to prompts that share a part of it', async () => {
  const { local } = await stores();
  const tokens = await tokensOf();
  await storePrefix(local, 'pico', 'system', tokens.slice(0, 32));
  const { ask } = await started(local);
  for (const cache_salt of ['alice', 'bob']) expect((await ask(tokens, { cache_salt })).cached).toBe(32);
  const parting = [...tokens.slice(0, 20), ...tokens.slice(0, 20)];
  expect((await ask(parting)).cached).toBe(20);
  // What another user's answer left is still theirs alone.
  expect((await ask(tokens, { cache_salt: 'carol' })).cached).toBe(32);
});

it('is for the version that computed it, which finds it again when it comes back', async () => {
  const folder = await temporaryFolder();
  const { storeUrl } = await storedPico('llama', { folder });
  const store = new FileStore(fileURLToPath(storeUrl));
  const tokens = (await tokensOf()).slice(0, 40);
  await storePrefix(store, 'pico', 'system', tokens.slice(0, 32));
  await storedPico('qwen3', { folder });
  const other = await started(store);
  expect((await other.ask(tokens)).cached).toBe(0);
  await storedPico('llama', { folder });
  expect((await (await started(store)).ask(tokens)).cached).toBe(32);
  // An entry that somebody moved is none of the version it was moved to.
  const [{ manifest: own }, key] = [await readManifest(store, 'pico'), 'pico'];
  await storedPico('qwen3', { folder });
  const { manifest } = await readManifest(store, 'pico');
  const bytes = await store.read(prefixKey(key, own.graph.sha256, 'system'));
  await store.write(prefixKey(key, manifest.graph.sha256, 'system'), bytes);
  const moved = await started(store);
  expect((await moved.ask(tokens)).cached).toBe(0);
  expect(moved.failures).toEqual([expect.stringMatching(/it was moved/)]);
});

it('leaves alone what is of another element type, and all where it is told to', async () => {
  const { local } = await stores();
  const tokens = await tokensOf();
  const { cache } = await storePrefix(local, 'pico', 'system', tokens.slice(0, 32));
  const off = await started(local, { storedPrefixes: false });
  expect((await off.ask(tokens)).cached).toBe(0);
  const none = await started(local, { prefixCacheBytes: 0 });
  expect((await none.ask(tokens)).cached).toBe(0);
  await storePrefix(local, 'pico', 'system', tokens.slice(0, 32), {
    cache: { ...cache, elementType: 'int8' },
  });
  const other = await started(local);
  expect((await other.ask(tokens)).cached).toBe(0);
  expect([...off.failures, ...none.failures, ...other.failures]).toEqual([]);
  const fewer = { tokens: tokens.slice(0, 30) };
  await storePrefix(local, 'pico', 'short', tokens.slice(0, 32), fewer);
  const wrong = await started(local);
  expect((await wrong.ask(tokens)).cached).toBe(0);
  expect(wrong.failures).toEqual([expect.stringMatching(/prefix short .* bytes are expected, not/)]);
});

it('keeps those of an int8 cache apart, and serves them where servers have one', async () => {
  const folder = await temporaryFolder();
  const tokens = await tokensOf();
  const checkpoint = await openCheckpoint(picoPath('llama'));
  await foldInto(folder, checkpoint, { cacheText: [Int32Array.from(tokens)] });
  await checkpoint.close();
  const store = new FileStore(join(folder, 'store'));
  const plain = await (await started(store, { kvCache: 'int8' })).ask(tokens);
  const { blob } = await storePrefix(store, 'pico', 'system', tokens.slice(0, 32), { kvCache: 'int8' });
  expect((await (await started(store)).ask(tokens)).cached).toBe(0);
  const stored = await started(store, { kvCache: 'int8' });
  expect(await stored.ask(tokens)).toEqual({ text: plain.text, cached: 32 });
  const float = await storePrefix(store, 'pico', 'system', tokens.slice(0, 32)); // the same name, beside it
  expect(float.blob.bytes).toBe(4 * blob.bytes);
  expect((await verify(store, 'pico')).broken).toEqual([]);
  expect((await inspect(store, 'pico')).prefixes.map(({ elementType }) => elementType).toSorted()).toEqual([
    'float32',
    'int8',
  ]);
  await collectGarbage(store, { olderThanMs: 0 });
  expect((await (await started(store, { kvCache: 'int8' })).ask(tokens)).cached).toBe(32);
});

it('fetches it once, and reads it from the cache after a restart', async () => {
  const { remote } = await stores();
  const tokens = await tokensOf();
  const { ask, cacheFolder, models } = await started(remote);
  await models.first!.load();
  const { blob } = await storePrefix(remote, 'pico', 'system', tokens.slice(0, 32), slowToCompute);
  await models.refresh();
  const cached = () => readdir(join(cacheFolder, 'blobs'));
  await ask(tokens.slice(8)); // does not begin with it
  expect(await cached()).not.toContain(blob.sha256);
  const both = ['a', 'b'].map((cache_salt) => ask(tokens, { cache_salt }));
  const answers = await Promise.all(both);
  expect(answers.map(({ cached }) => cached)).toEqual([32, 32]);
  expect(await cached()).toContain(blob.sha256);
  remote.objects.delete(blobKey(blob.sha256));
  const again = await started(remote, { cacheFolder });
  expect(await again.ask(tokens)).toEqual(answers[0]);
  expect(again.failures).toEqual([]);
});

it('fetches the newest that have room while the model gets ready, before anybody asks', async () => {
  const { remote } = await stores();
  const tokens = await tokensOf();
  const bytes: number[] = [];
  const blobs: string[] = [];
  for (const [i, name] of ['a', 'b', 'c'].entries()) {
    const createdAt = new Date(Date.UTC(2026, 0, 3 - i)).toISOString(); // `a` is the newest
    const own = [i, ...tokens.slice(1, 32)];
    const { blob } = await storePrefix(remote, 'pico', name, own, { ...slowToCompute, createdAt });
    bytes.push(blob.bytes);
    blobs.push(blob.sha256);
  }
  const { models, cacheFolder, ask } = await started(remote, { prefixCacheBytes: bytes[0]! + bytes[1]! });
  await models.first!.load();
  const cached = async () => {
    const there = new Set(await readdir(join(cacheFolder, 'blobs')));
    return blobs.map((blob) => there.has(blob));
  };
  await expect.poll(cached).toEqual([true, true, false]);
  const asked = [2, ...tokens.slice(1)];
  expect((await ask(asked)).cached).toBe(32);
  expect((await cached()).filter(Boolean)).toHaveLength(2); // on the disk as in memory, another made room
  expect((await cached())[2]).toBe(true);
});

it('computes what the line would bring later', async () => {
  const { remote } = await stores();
  const tokens = await tokensOf();
  const { blob } = await storePrefix(remote, 'pico', 'system', tokens.slice(0, 32), { computeMs: 0 });
  const { ask, cacheFolder } = await started(remote);
  expect((await ask(tokens)).cached).toBe(0);
  expect(await readdir(join(cacheFolder, 'blobs'))).not.toContain(blob.sha256);
});

it('waits for a line that stalls no longer than computing takes, and has it for the next prompt', async () => {
  const { remote } = await stores();
  const tokens = await tokensOf();
  const { blob } = await storePrefix(remote, 'pico', 'system', tokens.slice(0, 32), { computeMs: 300 });
  const opened = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const download = remote.download.bind(remote);
  remote.download = async (key, ...rest) => {
    if (key !== blobKey(blob.sha256)) return await download(key, ...rest);
    await opened.promise;
    await download(key, ...rest);
    ended.resolve();
  };
  const { ask, client, failures, models } = await started(remote);
  const body = { model: 'pico', prompt: tokens, max_tokens: 2, cache_salt: 'alice' };
  const late = await client.completions.create(body);
  expect(late.usage!.prompt_tokens_details!.cached_tokens).toBe(0);
  const { timings } = late as unknown as { timings: { queue_ms: number } };
  expect(timings.queue_ms).toBeGreaterThan(290); // waiting for it is waiting
  opened.resolve();
  await ended.promise;
  // It is not waited for, so it may still be on its way from the disk.
  await expect.poll(async () => (await ask(tokens, { cache_salt: `${Math.random()}` })).cached).toBe(32);
  expect(failures).toEqual([]);
  expect(models.first!.users).toBe(0);
});

it('computes what is damaged, and tells of it', async () => {
  const { local, remote } = await stores();
  const tokens = await tokensOf();
  const plain = await (await started(local)).ask(tokens);
  const { blob } = await storePrefix(local, 'pico', 'system', tokens.slice(0, 32));
  await storePrefix(remote, 'pico', 'system', tokens.slice(0, 32), slowToCompute);
  const key = blobKey(blob.sha256);

  const path = local.localPath(key);
  await writeFile(path, changed(await readFile(path)));
  const inPlace = await started(local);
  expect(await inPlace.ask(tokens)).toEqual(plain);
  expect(inPlace.failures).toEqual([expect.stringMatching(/prefix system .* computed instead.*has sha256/)]);

  const whole = remote.objects.get(key)!;
  remote.objects.set(key, { ...whole, bytes: changed(whole.bytes) });
  const fetched = await started(remote);
  expect(await fetched.ask(tokens)).toEqual(plain);
  expect(fetched.failures).toHaveLength(1);

  remote.objects.set(key, whole);
  const { cacheFolder } = fetched;
  await writeFile(join(cacheFolder, 'blobs', blob.sha256), changed(whole.bytes));
  const cached = await started(remote, { cacheFolder });
  expect(await cached.ask(tokens)).toEqual(plain);
  expect(cached.failures).toHaveLength(1);
  // The damaged copy is gone: the next process fetches a whole one.
  const next = await started(remote, { cacheFolder });
  expect(await next.ask(tokens)).toEqual({ text: plain.text, cached: 32 });
});

it('reads again what had to make room, within the budget', async () => {
  const { local } = await stores();
  const tokens = await tokensOf();
  const other = tokens.slice(0, 40).toReversed();
  const { blob } = await storePrefix(local, 'pico', 'one', tokens.slice(0, 32));
  await storePrefix(local, 'pico', 'two', other.slice(0, 32));
  const { ask, failures } = await started(local, { prefixCacheBytes: 1.5 * blob.bytes });
  for (const prompt of [tokens, other, tokens, other]) {
    expect((await ask(prompt, { cache_salt: `${Math.random()}`, max_tokens: 1 })).cached).toBe(32);
  }
  expect(failures).toEqual([]);
  const none = await started(local, { prefixCacheBytes: blob.bytes - 1 });
  expect((await none.ask(tokens)).cached).toBe(0);
});

it('takes up what is added while it serves', async () => {
  const { local } = await stores();
  const tokens = await tokensOf();
  const { ask, models } = await started(local);
  await models.first!.load();
  await storePrefix(local, 'pico', 'system', tokens.slice(0, 32));
  expect((await ask(tokens, { cache_salt: 'a' })).cached).toBe(0);
  await models.refresh();
  expect((await ask(tokens, { cache_salt: 'b' })).cached).toBe(32);
});

function changed(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes); // a Buffer's slice is the same memory
  copy[100]! ^= 1;
  return copy;
}
