import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { FileStore } from '../../artifact/store/file.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { serve } from '../../functions/gateway/serve.ts';
import { StoredModels } from '../../functions/gateway/stored-models.ts';
import { foldInto } from '../fixtures/fold-into.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { answered, button, openPlayground, styles } from './playground-page.ts';

/** The bundled model, folded as `foldgate start` does it: neighbours share a block. */
async function servedTales(): Promise<string> {
  const folder = await temporaryFolder();
  const checkpoint = await openCheckpoint(
    fileURLToPath(new URL('../../checkpoints/tales-5m', import.meta.url)),
  );
  await foldInto(folder, checkpoint, { name: 'tales', share: 2, quantize: 'int8' });
  await checkpoint.close();
  const load = { threads: 1, slots: 1, spinning: false };
  const models = await StoredModels.open(new FileStore(`${folder}/store`), { load, refreshMs: 0 });
  const server = await serve(models, { port: 0, host: '127.0.0.1' });
  onTestFinished(() => server.close(0));
  return server.url;
}

it('lets a real model go on from a text, and shows what it consists of', async (ctx) => {
  const url = await servedTales();
  const { page, requests, problems } = await openPlayground(ctx, url);
  await page.getByLabel('Text to go on from').fill('Once upon a time');
  await page.getByRole('spinbutton', { name: 'Max tokens' }).fill('40');
  await page.getByLabel('Seed').fill('3');
  await button(page, 'Continue').click();
  await page.getByText(/^40 tokens · \d+ tokens\/s · first after \d/).waitFor();
  const text = await page.getByLabel('Text to go on from').inputValue();

  const answer = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    body: JSON.stringify({
      ...{ model: 'tales', prompt: 'Once upon a time', max_tokens: 40 },
      ...{ seed: 3, temperature: 0.7, min_p: 0.05 },
    }),
  });
  const { choices } = (await answer.json()) as { choices: { text: string }[] };
  expect(text).toBe(`Once upon a time${choices[0]!.text}`);

  // Twelve layers, two a block: six colours.
  const layers = page.getByRole('option', { name: /^Layer \d+, block \d+$/ });
  const colours = await styles(layers, 'fill');
  expect(colours).toHaveLength(12);
  expect(new Set(colours).size).toBe(6);
  expect(colours[2]).toBe(colours[3]);
  expect(colours[2]).not.toBe(colours[4]);

  expect(requests.filter((address) => !address.startsWith(url))).toEqual([]);
  expect(problems.filter((problem) => !problem.endsWith('/metrics'))).toEqual([]);
  await answered(page);
});
