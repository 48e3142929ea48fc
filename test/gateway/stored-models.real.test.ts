import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import OpenAI, { NotFoundError } from 'openai';
import { expect, it, onTestFinished } from 'vitest';
import { copyModel } from '../../artifact/models/copy.ts';
import { manifestKey, pointerKey } from '../../artifact/models/layout.ts';
import { readManifest } from '../../artifact/models/read.ts';
import { removeModel } from '../../artifact/models/remove.ts';
import { FileStore } from '../../artifact/store/file.ts';
import { serve } from '../../functions/gateway/serve.ts';
import { memoryOf, StoredModels, type StoredModelsOptions } from '../../functions/gateway/stored-models.ts';
import { storedPico } from '../fixtures/served-pico.ts';

/** For a load on a busy machine. */
const slow = { timeout: 30_000 };

/** A store with models `a` and `b`, served until the test ends. Looks for new versions when told to. */
async function served(options: StoredModelsOptions = {}) {
  const { storeUrl } = await storedPico('llama');
  const store = new FileStore(fileURLToPath(storeUrl));
  for (const name of ['a', 'b']) await copyModel({ store, name: 'pico' }, { store, name });
  await removeModel(store, 'pico');
  const events: string[] = [];
  const models = await StoredModels.open(store, {
    load: { threads: 1, slots: 2, contextLength: 64, spinning: false },
    refreshMs: 0,
    onLoaded: ({ name }) => events.push(`+${name}`),
    onUnloaded: ({ name }) => events.push(`-${name}`),
    onFailure: (name, error) => events.push(`${name}: ${error.message}`),
    ...options,
  });
  const server = await serve(models, { port: 0, host: '127.0.0.1' });
  onTestFinished(() => server.close(0));
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'any', maxRetries: 0 });
  const ask = (model: string) =>
    client.completions.create({ model, prompt: 'Once', max_tokens: 4, temperature: 0 });
  return { store, models, server, client, ask, events };
}

/** Publishes another version of a model: the same weights, another description. */
async function publishAgain(store: FileStore, name: string, change: object): Promise<string> {
  const { manifest } = await readManifest(store, name);
  const bytes = new TextEncoder().encode(JSON.stringify({ ...manifest, ...change }));
  const { sha256 } = await import('../../artifact/store/digest.ts');
  const version = sha256(bytes);
  await store.write(manifestKey(name, version), bytes);
  const pointer = { manifest: version, publishedAt: new Date().toISOString() };
  await store.write(pointerKey(name), new TextEncoder().encode(JSON.stringify(pointer)));
  return version;
}

it('serves all models of the store, each loaded with its first request', async () => {
  const { client, ask, events, server } = await served();
  expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['a', 'b']);
  expect(events).toEqual([]);
  expect((await ask('b')).model).toBe('b');
  expect(events).toEqual(['+b']);
  await expect(ask('pico')).rejects.toThrow(NotFoundError);
  await expect(ask('pico')).rejects.toThrow(/this server has a, b\./);
  // Readiness is the first model's: the probe asks for it.
  expect((await fetch(`${server.url}/readyz`)).status).toBe(503);
  await expect.poll(async () => (await fetch(`${server.url}/readyz`)).status, slow).toBe(200);
  expect(events).toEqual(['+b', '+a']);
});

it('serves a model by other names, loaded once', async () => {
  const { client, ask, events } = await served({
    models: [
      { id: 'gpt-4o', name: 'a' },
      { id: 'a', name: 'a' },
    ],
  });
  expect((await client.models.list()).data).toMatchObject([{ id: 'gpt-4o', root: 'a' }, { id: 'a' }]);
  expect((await client.models.retrieve('gpt-4o')).id).toBe('gpt-4o');
  const [alias, name] = [await ask('gpt-4o'), await ask('a')];
  expect([alias.model, name.model]).toEqual(['gpt-4o', 'a']);
  expect(alias.choices).toEqual(name.choices);
  expect(events).toEqual(['+a']);
  await expect(ask('b')).rejects.toThrow(NotFoundError);
});

it('knows at the start which names are wrong', async () => {
  const { store } = await served();
  const models = [
    { id: 'a', name: 'a' },
    { id: 'c', name: 'c' },
  ];
  await expect(StoredModels.open(store, { models })).rejects.toThrow(/no model c .*There are: a, b/);
});

it('unloads the least recently used model for another one, and never one in use', async () => {
  const { store } = await served();
  const { manifest } = await readManifest(store, 'a');
  const { ask, client, events } = await served({ memoryBytes: memoryOf({ manifest }) * 1.5 });
  await ask('a');
  await ask('b');
  expect(events).toEqual(['+a', '-a', '+b']);
  const stream = await client.completions.create({
    model: 'b',
    prompt: 'Once',
    stream: true,
    ignore_eos: true,
    max_tokens: 40,
  } as OpenAI.CompletionCreateParamsStreaming);
  const other = ask('a'); // waits for the stream's end
  let pieces = 0;
  for await (const _ of stream) {
    pieces++;
    expect(events).toHaveLength(3);
  }
  expect(pieces).toBeGreaterThan(0);
  await other;
  expect(events.slice(3)).toEqual(['-b', '+a']);
});

it('takes up a new version without a restart and without a failed request', async () => {
  const { store, models, ask, events } = await served();
  const old = await ask('a');
  const version = await publishAgain(store, 'a', { parameters: { original: 1, folded: 1 } });
  let asking = true;
  const answers: string[] = [];
  const keepAsking = async () => {
    while (asking) answers.push((await ask('a')).system_fingerprint!);
  };
  const clients = [keepAsking(), keepAsking()];
  await models.refresh();
  await expect.poll(() => answers.at(-1), slow).toBe(`fp_${version.slice(0, 12)}`);
  asking = false;
  await Promise.all(clients); // none was refused
  expect(new Set(answers).size).toBeLessThanOrEqual(2);
  expect(old.system_fingerprint).not.toBe(answers.at(-1));
  expect(events).toEqual(['+a', '+a', '-a']);
  await models.refresh();
  expect(events).toHaveLength(3);
});

it('stays with the old version where the new one is broken, and does not try it all the time', async () => {
  const { store, models, ask, events } = await served();
  const before = await ask('a');
  await publishAgain(store, 'a', { graph: { sha256: 'f'.repeat(64), bytes: 5 } });
  for (let look = 0; look < 4; look++) await models.refresh();
  expect((await ask('a')).system_fingerprint).toBe(before.system_fingerprint);
  // After the first failure one look is spared, after the second three.
  expect(events.filter((event) => event.startsWith('a: '))).toHaveLength(2);
  const repaired = await publishAgain(store, 'a', { graph: (await readManifest(store, 'b')).manifest.graph });
  await models.refresh();
  expect((await ask('a')).system_fingerprint).toBe(`fp_${repaired.slice(0, 12)}`);
});

it('serves models that are published later, and no longer those that are removed', async () => {
  const { store, models, client, ask } = await served();
  await ask('b');
  await copyModel({ store, name: 'a' }, { store, name: 'c' });
  await removeModel(store, 'b');
  await models.refresh();
  expect((await client.models.list()).data.map(({ id }) => id)).toEqual(['a', 'c']);
  await ask('c');
  await expect(ask('b')).rejects.toThrow(NotFoundError);
});

it('goes on with what is loaded when the store is gone', async () => {
  const { store, models, ask, events } = await served({ models: [{ id: 'a', name: 'a' }] });
  await ask('a');
  const path = store.localPath(pointerKey('a'));
  const pointer = await readFile(path);
  await writeFile(path, 'no pointer');
  await models.refresh();
  await ask('a');
  expect(events.at(-1)).toMatch(/^a: .*is no pointer/);
  await writeFile(path, pointer);
});
