import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { FileStore } from '../../artifact/store/file.ts';
import { describedModelAnswer } from '../../functions/gateway/openapi/answers.ts';
import { serve } from '../../functions/gateway/serve.ts';
import { StoredModels } from '../../functions/gateway/stored-models.ts';
import { startGateway } from '../fixtures/gateway.ts';
import { storedPico } from '../fixtures/served-pico.ts';

async function served(tokens: { chatTemplate?: undefined } = {}) {
  const { storeUrl } = await storedPico('llama', tokens);
  const folder = fileURLToPath(storeUrl);
  const models = await StoredModels.open(new FileStore(folder), {
    load: { threads: 1, slots: 1, contextLength: 64, spinning: false },
    models: [{ id: 'org/pico', name: 'pico' }],
    refreshMs: 0,
  });
  const server = await serve(models, { port: 0, host: '127.0.0.1' });
  onTestFinished(() => server.close(0));
  const describe = async () =>
    describedModelAnswer.parse(await (await fetch(`${server.url}/v1/models/org%2Fpico`)).json());
  return { models, describe, folder };
}

it('tells what a model consists of before it is loaded, and what the server allows once it is', async () => {
  const { models, describe } = await served();
  const before = await describe();
  expect(before).toMatchObject({ id: 'org/pico', object: 'model', root: 'pico' });
  expect(models.first!.loaded).toBeUndefined();
  const { layers, distinct_blocks, parameters, bytes, quantization, ...others } = before.foldgate!;
  expect(layers![1]).toEqual({ index: 1, source: 1, block: 1 });
  expect(distinct_blocks).toBe(layers!.length);
  expect(parameters!.folded).toBe(parameters!.original);
  expect(bytes).toBeGreaterThan(10_000);
  expect(quantization!.qkv).toEqual({ bits: 32 });
  expect(others).toEqual({ state: 'unloaded', chat: true, context_length: 128, architecture: 'llama' });

  await models.first!.load();
  const { foldgate } = await describe();
  expect(foldgate).toEqual({ ...before.foldgate, state: 'ready', context_length: 64 });
});

it('tells of a model without a chat template that it cannot chat', async () => {
  const { models, describe } = await served({ chatTemplate: undefined });
  expect((await describe()).foldgate?.chat).toBe(false);
  await models.first!.load();
  expect((await describe()).foldgate?.chat).toBe(false);
});

it('describes a model as OpenAI does where its store is gone', async () => {
  const { describe, folder } = await served();
  await rm(folder, { recursive: true });
  expect(Object.keys(await describe()).sort()).toEqual(['created', 'id', 'object', 'owned_by', 'root']);
});

it('knows of a model of no store what the engine tells', async () => {
  const { client } = await startGateway(() => () => [], { template: 'none', contextLength: 99 });
  expect(await client.models.retrieve('tales')).toMatchObject({
    foldgate: { state: 'ready', chat: false, context_length: 99 },
  });
});
