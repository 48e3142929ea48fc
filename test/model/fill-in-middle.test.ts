import { expect, it, onTestFinished } from 'vitest';
import { openStore } from '../../artifact/store/open.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { registryOf } from '../../functions/gateway/model-registry.ts';
import { createModelService } from '../../functions/gateway/model-service.ts';
import { serve } from '../../functions/gateway/serve.ts';
import { loadModel } from '../../functions/model/load-model.ts';
import { foldInto } from '../fixtures/fold-into.ts';
import { clientOf } from '../fixtures/gateway.ts';
import { realModel } from '../fixtures/models.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

it('writes the code that is missing, and no more', async (ctx) => {
  const checkpoint = await openCheckpoint(realModel(ctx, 'qwen'));
  const folder = await temporaryFolder();
  await foldInto(folder, checkpoint, { name: 'qwen', quantize: 'int8' });
  await checkpoint.close();
  const store = await openStore(`file:${folder}/store`);
  const load = (signal: AbortSignal) => loadModel(store, 'qwen', { contextLength: 256, signal });
  const server = await serve(registryOf(createModelService({ name: 'qwen', load })), {
    port: 0,
    host: '127.0.0.1',
  });
  onTestFinished(() => server.close(0));
  const client = clientOf(server);
  const fill = async (prompt: string, suffix: string) => {
    const body = { model: 'qwen', prompt, suffix, max_tokens: 48, temperature: 0, logprobs: 0 };
    const [choice] = (await client.completions.create(body)).choices;
    const { tokens } = choice!.logprobs!;
    const written = choice!.finish_reason === 'stop' ? tokens!.slice(0, -1) : tokens!;
    expect(written.join('')).toBe(choice!.text);
    return { text: choice!.text, finish: choice!.finish_reason };
  };
  const sum = await fill('def add(a, b):\n    return ', '\n\nprint(add(1, 2))  # 3\n');
  expect(sum).toMatchObject({ finish: 'stop', text: expect.stringMatching(/^a \+ b\s*$/) });
  // Without the suffix it goes on where the other text would come.
  const alone = await fill('def add(a, b):\n    return ', '');
  expect(alone.text.length).toBeGreaterThan(2 * sum.text.length);
});
