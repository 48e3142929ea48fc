import { expect, it, onTestFinished } from 'vitest';
import { ApiKeys, hashKey, newKey } from '../../functions/gateway/access/api-keys.ts';
import { registryOf } from '../../functions/gateway/model-registry.ts';
import { serve } from '../../functions/gateway/serve.ts';
import { startGateway } from '../fixtures/gateway.ts';
import { openPage } from './chromium.ts';
import { answered, button, openPlayground } from './playground-page.ts';

/** Each would say so, were it ever taken for markup. */
const attacks = [
  '<img src=x onerror="document.title=1">',
  '<script>document.title=1</script>',
  '<svg onload="document.title=1">',
  '`<img src=x onerror=document.title=1>` **<b onclick=x>**',
  '```<img src=x onerror=document.title=1>\n<script>document.title=1</script>\n```',
].join('\n');

it.for(['chat', 'text'])('no text of a model becomes markup, in %s', async (mode, ctx) => {
  const gateway = await startGateway(() => () => undefined, mode === 'text' ? { template: 'none' } : {});
  const { page, requests } = await openPlayground(ctx, gateway.server.url);
  const before = await page.evaluate(
    'document.querySelectorAll("img, script, iframe, [onclick], [onload]").length',
  );
  await page.getByLabel(mode === 'chat' ? 'Message' : 'Text to go on from').fill(attacks);
  await button(page, mode === 'chat' ? 'Send' : 'Continue').click();
  const call = await gateway.engine.nextCall();
  call.emit(...gateway.tokens(attacks));
  call.finish('stop');
  await answered(page);
  // All of it is there to be read.
  const shown =
    mode === 'chat'
      ? await page.locator('.assistant .body').textContent()
      : (await page.getByLabel('Text to go on from').inputValue()).slice(attacks.length);
  expect(shown).toContain('<script>document.title=1</script>');
  await button(page, 'curl').click();
  const after = await page.evaluate(
    'document.querySelectorAll("img, script, iframe, [onclick], [onload]").length',
  );
  expect(after).toBe(before);
  expect(await page.title()).toBe('tales · Foldgate playground');
  expect(requests.filter((address) => !address.startsWith(gateway.server.url))).toEqual([]);
});

it('neither does the name of a model or the words of an error', async (ctx) => {
  const { model, service } = await startGateway(() => () => []);
  const models = registryOf(service);
  models.add('<img src=x onerror=document.title=1>', service);
  models.remove(model.name);
  const server = await serve(models, { port: 0, host: '127.0.0.1' });
  onTestFinished(() => server.close(0));
  const { page } = await openPlayground(ctx, server.url);
  models.remove('<img src=x onerror=document.title=1>');
  await page.getByLabel('Message').fill('Go');
  await button(page, 'Send').click();
  await page
    .getByRole('alert')
    .getByText(/The model "<img src=x/)
    .waitFor();
  expect(await page.evaluate('document.querySelectorAll("img").length')).toBe(0);
});

it('the policy refuses markup and code that a page of ours would let in', async (ctx) => {
  const { server } = await startGateway(() => () => []);
  const { page } = await openPlayground(ctx, server.url);
  const refusals = await page.evaluate(`
    const refused = (act) => { try { act(); return false; } catch { return true; } };
    [
      refused(() => { document.body.innerHTML = '<p>x</p>'; }),
      refused(() => document.write('x')),
      refused(() => { document.createElement('script').text = '1'; }),
      refused(() => document.body.setAttribute('onclick', '1')),
    ]
  `);
  expect(refusals).toEqual([true, true, true, true]);
  const violated = await page.evaluate(`new Promise((resolve) => {
    addEventListener('securitypolicyviolation', (event) => resolve(event.violatedDirective));
    fetch('http://localhost:9/').catch(() => {});
  })`);
  expect(violated).toBe('connect-src');
});

it('asks for a key where the server does, and keeps it in the tab alone', async (ctx) => {
  const key = newKey();
  const keys = new ApiKeys([{ name: 'ada', hash: hashKey(key) }]);
  const gateway = await startGateway(() => () => undefined, { keys });
  const { page } = await openPage(ctx, `${gateway.server.url}/`);
  await page
    .getByRole('alert')
    .getByText(/asks for an API key.*status 401 · missing_api_key/)
    .waitFor();
  const field = page.getByLabel('API key');
  expect(await field.evaluate((node) => node.matches(':focus'))).toBe(true);
  await field.fill('wrong');
  await field.press('Enter');
  await page
    .getByRole('alert')
    .getByText(/invalid_api_key/)
    .waitFor();
  await field.fill(key);
  await field.press('Enter');
  await page.getByRole('heading', { name: 'tales', exact: true }).waitFor();
  expect(await page.getByRole('alert').isVisible()).toBe(false);

  await page.getByLabel('Message').fill('Go');
  await button(page, 'curl').click();
  expect(await page.getByLabel('Command', { exact: true }).inputValue()).not.toContain(key);
  await button(page, 'Close').click();
  await button(page, 'Send').click();
  (await gateway.engine.nextCall()).finish('stop');
  await answered(page);

  await page.reload();
  await page.getByRole('heading', { name: 'tales', exact: true }).waitFor();
  expect(await page.evaluate('JSON.stringify({ ...localStorage }) + document.cookie')).not.toContain(key);
  const other = await page.context().newPage();
  await other.goto(`${gateway.server.url}/`);
  await other
    .getByRole('alert')
    .getByText(/missing_api_key/)
    .waitFor();
});
