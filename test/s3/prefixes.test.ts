import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { copyModel } from '../../artifact/models/copy.ts';
import { FileStore } from '../../artifact/store/file.ts';
import { openStore } from '../../artifact/store/open.ts';
import { serve } from '../../functions/gateway/serve.ts';
import { StoredModels } from '../../functions/gateway/stored-models.ts';
import { clientOf } from '../fixtures/gateway.ts';
import { golden } from '../fixtures/pico.ts';
import { storedPico } from '../fixtures/served-pico.ts';
import { storePrefix } from '../fixtures/stored-prefix.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { isInstalled, S3Server, useEndpoint } from './servers.ts';

describe.skipIf(!isInstalled('versitygw'))('a stored prefix in versitygw', () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await S3Server.start('versitygw');
    useEndpoint(server.endpoint);
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  it('is what the first prompt of a new process begins with', async () => {
    const local = new FileStore(fileURLToPath((await storedPico('llama')).storeUrl));
    const store = await openStore(`s3://${await server.makeBucket()}/team`);
    await copyModel({ store: local, name: 'pico' }, { store, name: 'pico' });
    const { tokens } = await golden('llama');
    const slowToCompute = { computeMs: 600_000 };
    const { blob } = await storePrefix(store, 'pico', 'system', tokens.slice(0, 32), slowToCompute);
    const started = async (storedPrefixes: boolean) => {
      const cacheFolder = await temporaryFolder();
      const models = await StoredModels.open(store, {
        load: { threads: 1, slots: 1, spinning: false, cacheFolder, storedPrefixes },
        refreshMs: 0,
      });
      const gateway = await serve(models, { port: 0, host: '127.0.0.1' });
      onTestFinished(() => gateway.close(0));
      const body = { model: 'pico', prompt: tokens, max_tokens: 12, temperature: 0 };
      const { choices, usage } = await clientOf(gateway).completions.create(body);
      const cached = usage!.prompt_tokens_details?.cached_tokens;
      return { text: choices[0]!.text, cached, blobs: await readdir(join(cacheFolder, 'blobs')) };
    };
    const [without, stored] = [await started(false), await started(true)];
    expect(stored).toMatchObject({ text: without.text, cached: 32 });
    expect(without).toMatchObject({ cached: 0, blobs: expect.not.arrayContaining([blob.sha256]) });
    expect(stored.blobs).toContain(blob.sha256);
  });
});
