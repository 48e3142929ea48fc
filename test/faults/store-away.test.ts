import { expect, it } from 'vitest';
import { FoldgateError } from '../../artifact/errors.ts';
import type { MemoryStore } from '../../artifact/store/memory.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { remoteStore, served } from './remote-pico.ts';

/** Makes every call to the store fail, until the returned function is called. */
function takeAway(store: MemoryStore, ...methods: ('read' | 'download' | 'head' | 'list')[]): () => void {
  const away = async () => {
    throw new FoldgateError('The server could not be reached.');
  };
  const own = methods.map((method) => [method, Object.getOwnPropertyDescriptor(store, method)] as const);
  for (const method of methods) Object.defineProperty(store, method, { value: away, configurable: true });
  return () => {
    for (const [method, before] of own) {
      if (before) Object.defineProperty(store, method, before);
      else delete (store as unknown as Record<string, unknown>)[method];
    }
  };
}

const models = [{ id: 'pico', name: 'pico' }];

it('gone before the load: 503, and the next request tries again', async () => {
  const store = await remoteStore();
  const { ask, failures, url } = await served(store, await temporaryFolder(), { models });
  const comeBack = takeAway(store, 'read');
  await expect(ask()).rejects.toThrow('503 model_unavailable');
  expect(failures).toEqual(['pico: The server could not be reached.']);
  expect((await fetch(`${url}/readyz`)).status).toBe(503);
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  comeBack();
  await expect(ask()).resolves.toEqual(expect.any(String));
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
});

it('gone during the load: 503, what has arrived is kept', async () => {
  const store = await remoteStore();
  const { ask } = await served(store, await temporaryFolder(), { models });
  let left = 2;
  const { download } = store;
  let fetched = 0;
  store.download = async (...args) => {
    if (left-- <= 0) throw new FoldgateError('The server could not be reached.');
    fetched++;
    return await download.apply(store, args);
  };
  await expect(ask()).rejects.toThrow('503 model_unavailable');
  const before = fetched;
  left = Infinity;
  await ask();
  const blobs = [...store.objects.keys()].filter((key) => key.startsWith('blobs/')).length;
  expect(before).toBeGreaterThan(0);
  expect(fetched).toBe(blobs); // each once
});

it('gone later: what is loaded goes on, and takes up a new version when the store is back', async () => {
  const store = await remoteStore();
  const server = await served(store, await temporaryFolder(), { models });
  const text = await server.ask();
  const comeBack = takeAway(store, 'read', 'download', 'head', 'list');
  await server.models.refresh();
  expect(await server.ask()).toBe(text);
  expect(server.failures).toEqual(['pico: The server could not be reached.']);
  comeBack();
  await server.models.refresh();
  expect(server.failures).toHaveLength(1);
  expect(server.loads).toBe(1);
});
