import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import { copyModel } from '../../artifact/models/copy.ts';
import { FileStore } from '../../artifact/store/file.ts';
import { MemoryStore } from '../../artifact/store/memory.ts';
import type { AppOptions } from '../../functions/gateway/app.ts';
import { serve } from '../../functions/gateway/serve.ts';
import { StoredModels, type StoredModelsOptions } from '../../functions/gateway/stored-models.ts';
import { storedPico } from '../fixtures/served-pico.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

/** A store that is elsewhere, so that its blobs go through the cache, with the model `pico`. */
export async function remoteStore(): Promise<MemoryStore> {
  const { storeUrl } = await storedPico('llama');
  const store = new MemoryStore();
  const from = { store: new FileStore(fileURLToPath(storeUrl)), name: 'pico' };
  await copyModel(from, { store, name: 'pico' }, { temporaryFolder: await temporaryFolder() });
  return store;
}

export interface Served {
  models: StoredModels;
  /** What failed, each with the model's name before it. */
  failures: string[];
  loads: number;
  /** A greedy text; throws what the server says where it refuses. */
  ask(): Promise<string>;
  url: string;
  close(): Promise<void>;
}

/** Serves a store's models until the test ends, from a cache folder that stays. */
export async function served(
  store: MemoryStore,
  cacheFolder: string,
  options: StoredModelsOptions = {},
  appOptions: AppOptions = {},
): Promise<Served> {
  const failures: string[] = [];
  const result = { failures, loads: 0 };
  const models = await StoredModels.open(store, {
    load: { cacheFolder, threads: 1, slots: 2, contextLength: 64, spinning: false },
    refreshMs: 0,
    onFailure: (name, error) => failures.push(`${name}: ${error.message}`),
    onLoaded: () => result.loads++,
    ...options,
  });
  const server = await serve(models, { port: 0, host: '127.0.0.1', ...appOptions });
  let isOpen = true;
  const close = async () => {
    if (isOpen) await server.close(0);
    isOpen = false;
  };
  onTestFinished(close);
  const ask = async () => {
    const body = { model: 'pico', prompt: 'Once', max_tokens: 12, temperature: 0, ignore_eos: true };
    const response = await fetch(`${server.url}/v1/completions`, {
      method: 'POST',
      body: JSON.stringify(body),
    });
    const answer = (await response.json()) as { choices: [{ text: string }]; error: { code: string } };
    if (!response.ok) throw new Error(`${response.status} ${answer.error.code}`);
    return answer.choices[0].text;
  };
  return Object.assign(result, { models, ask, close, url: server.url });
}
