import { open, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readManifest } from '../../artifact/models/read.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { remoteStore, served } from './remote-pico.ts';

/** Other bytes, as many as before. */
async function overwrite(path: string): Promise<void> {
  const { size } = await stat(path);
  const file = await open(path, 'r+');
  await file.write(new Uint8Array(size).fill(0x5a));
  await file.close();
}

/** A cache that a server has filled and that nobody uses, with what the model wrote. */
async function filled() {
  const store = await remoteStore();
  const cacheFolder = await temporaryFolder();
  const first = await served(store, cacheFolder);
  const text = await first.ask();
  await first.close();
  const { manifest } = await readManifest(store, 'pico');
  const pathOf = (sha256: string) => join(cacheFolder, 'blobs', sha256);
  return { store, cacheFolder, text, manifest, pathOf };
}

it('a graph that does not open is fetched again, and the request that waits for it succeeds', async () => {
  const { store, cacheFolder, text, manifest, pathOf } = await filled();
  await overwrite(pathOf(manifest.graph.sha256));
  const { ask, failures } = await served(store, cacheFolder);
  expect(await ask()).toBe(text);
  expect(failures).toEqual([expect.stringMatching(/^pico: Blob [0-9a-f]{64} in the cache was damaged/)]);
});

it('a tokenizer that is no JSON, too', async () => {
  const { store, cacheFolder, text, manifest, pathOf } = await filled();
  await overwrite(pathOf(manifest.tokenizer['tokenizer.json'].sha256));
  const { ask } = await served(store, cacheFolder);
  expect(await ask()).toBe(text);
});

it('weights that open and are wrong are found once the model is in use, and replaced', async () => {
  const { store, cacheFolder, text, manifest, pathOf } = await filled();
  const block = manifest.weights.find(({ kind }) => kind === 'block')!;
  await overwrite(pathOf(block.sha256));
  const server = await served(store, cacheFolder);
  await server.ask(); // whatever it says
  await expect.poll(() => server.loads, { timeout: 30_000 }).toBe(2);
  expect(await server.ask()).toBe(text);
  expect(server.failures).toHaveLength(1);
  await server.close();
  // The next server finds nothing wrong.
  const next = await served(store, cacheFolder);
  expect(await next.ask()).toBe(text);
  expect(next.failures).toEqual([]);
});

it('a file that was cut short is fetched again before anything is opened', async () => {
  const { store, cacheFolder, text, manifest, pathOf } = await filled();
  await truncate(pathOf(manifest.weights[0]!.sha256), 10);
  await writeFile(pathOf(manifest.graph.sha256), '');
  const { ask, failures } = await served(store, cacheFolder);
  expect(await ask()).toBe(text);
  expect(failures).toEqual([]);
});
