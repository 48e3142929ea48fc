import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { FileStore } from '../../artifact/store/file.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { prometheusMetrics } from '../../functions/gateway/observe/prometheus.ts';
import { serve } from '../../functions/gateway/serve.ts';
import { StoredModels } from '../../functions/gateway/stored-models.ts';
import { foldInto } from '../fixtures/fold-into.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { answered, button, openPlayground, styles } from './playground-page.ts';

/** So long that what was read of it is worth keeping. */
const beginning = 'Once upon a time, there was a little fox who lived at the edge of the forest.';

/** The bundled model, folded as `foldgate start` does it: without two of its layers, neighbours sharing a block. */
async function servedTales(): Promise<string> {
  const folder = await temporaryFolder();
  const checkpoint = await openCheckpoint(
    fileURLToPath(new URL('../../checkpoints/tales-5m', import.meta.url)),
  );
  const plan = await readFile(new URL('../../checkpoints/tales-5m/fold-plan.json', import.meta.url), 'utf8');
  await foldInto(folder, checkpoint, { name: 'tales', layers: JSON.parse(plan).layers, quantize: 'int8' });
  await checkpoint.close();
  const load = { threads: 1, slots: 1, spinning: false };
  const models = await StoredModels.open(new FileStore(`${folder}/store`), { load, refreshMs: 0 });
  const server = await serve(models, { port: 0, host: '127.0.0.1', metrics: prometheusMetrics() });
  onTestFinished(() => server.close(0));
  return server.url;
}

it('lets a real model go on from a text, and shows what it consists of', async (ctx) => {
  const url = await servedTales();
  const { page, requests, problems } = await openPlayground(ctx, url);
  await page.getByText('loads with the first request').waitFor();
  await page.getByText('10 layers, sharing 6 blocks').waitFor();
  await page.getByLabel('Text to go on from').fill(beginning);
  await page.getByRole('spinbutton', { name: 'Max tokens' }).fill('40');
  await page.getByLabel('Seed').fill('3');
  await button(page, 'Continue').click();
  await page.getByText(/^40 tokens · \d+ tokens\/s · first after \d.* of it to load the model/).waitFor();
  await page.getByText('loads with the first request').waitFor({ state: 'hidden' });
  const text = await page.getByLabel('Text to go on from').inputValue();

  const answer = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    body: JSON.stringify({
      ...{ model: 'tales', prompt: beginning, max_tokens: 40 },
      ...{ seed: 3, temperature: 0.7, min_p: 0.05 },
    }),
  });
  const { choices } = (await answer.json()) as { choices: { text: string }[] };
  expect(text).toBe(`${beginning}${choices[0]!.text}`);

  // A colour for each pair of layers that share, and one for the two that do not.
  const layers = page.getByRole('option', { name: /^Layer \d+, block \d+$/ });
  const colours = await styles(layers, 'fill');
  expect(colours).toHaveLength(10);
  expect(new Set(colours).size).toBe(5);
  expect(colours[2]).toBe(colours[3]);
  expect(colours[2]).not.toBe(colours[4]);

  await page.getByRole('listbox', { name: '10 layers, sharing 6 blocks' }).focus();
  await page.getByText('Layer 0 runs block 0, as does layer 1').waitFor();
  for (const key of ['ArrowRight', 'ArrowRight', 'ArrowDown']) await page.keyboard.press(key);
  await page.getByText('Layer 3 runs block 1, as does layer 2').waitFor();
  expect(await layers.nth(3).getAttribute('aria-selected')).toBe('true');

  // A second time the prompt is known, and the server tells what it takes.
  await button(page, 'Regenerate').click();
  await answered(page);
  const measured = (name: string) => page.locator('#instruments > div', { hasText: name });
  await measured('From cache')
    .getByText(/^[1-9]\d* of \d+ prompt tokens$/)
    .waitFor();
  await measured('Memory').getByText(/^\d+$/).waitFor();
  await measured('Memory')
    .getByText(/^KV cache \d/)
    .waitFor();
  expect(await page.getByLabel('Text to go on from').inputValue()).toBe(text);

  expect(requests.filter((address) => !address.startsWith(url))).toEqual([]);
  expect(problems).toEqual([]);
});
