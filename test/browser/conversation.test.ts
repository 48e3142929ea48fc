import { expect, it, type TestContext } from 'vitest';
import { detokenize } from '../../functions/text/detokenizer.ts';
import { startGateway, type TestGateway } from '../fixtures/gateway.ts';
import type { ScriptedCall } from '../fixtures/scripted-engine.ts';
import { answered, button, openPlayground } from './playground-page.ts';

/** A page whose answers the test makes, token by token. */
async function open(ctx: TestContext, options: { template?: string } = {}) {
  const gateway = await startGateway(() => () => undefined, options);
  return { ...gateway, ...(await openPlayground(ctx, gateway.server.url)) };
}

const textOf = ({ tokens }: TestGateway, call: ScriptedCall, text: string) => call.emit(...tokens(text));

it('shows an answer as it comes, and the conversation goes on from it', async (ctx) => {
  const opened = await open(ctx);
  const { page, engine } = opened;
  await page.getByLabel('System prompt').fill('Be kind.');
  await page.getByLabel('Message').fill('Who was it?');
  await page.keyboard.press('Enter');
  const call = await engine.nextCall();
  const answer = page.getByRole('listitem').filter({ has: page.getByRole('heading', { name: 'tales' }) });
  textOf(opened, call, 'A fox');
  await answer.getByText('A fox', { exact: true }).waitFor();
  await page
    .getByText(/tokens\/s/)
    .first()
    .waitFor();
  textOf(opened, call, ' was it.');
  await answer.getByText('A fox was it.', { exact: true }).waitFor();
  call.finish('length');
  await answer.getByText(/^\d+ tokens · .*cut off at the limit of tokens$/).waitFor();

  await page.getByLabel('Message').fill('And then?');
  await button(page, 'Send').click();
  const next = await engine.nextCall();
  expect(detokenize(opened.model.pieces, next.request.prompt)).toBe(
    '[system] Be kind.\n[user] Who was it?\n[assistant] A fox was it.\n[user] And then?\n[assistant] ',
  );
  textOf(opened, next, 'It ran.');
  next.finish('stop');
  await answered(page);

  await button(page, 'Regenerate').click();
  const again = await engine.nextCall();
  expect(again.request.prompt).toEqual(next.request.prompt);
  textOf(opened, again, 'It slept.');
  again.finish('stop');
  await answered(page);
  await answer.getByText('It slept.', { exact: true }).waitFor();
  expect(await answer.getByText('It ran.').count()).toBe(0);
  // To those who listen, sentence by sentence.
  const said = await page.getByRole('log').getByRole('paragraph').allTextContents();
  expect(said).toEqual(['A fox was it.', 'It ran.', 'It slept.']);

  await button(page, 'Clear').click();
  expect(
    await page
      .getByRole('listitem')
      .filter({ has: page.getByRole('heading') })
      .count(),
  ).toBe(0);
});

it('goes on from a text, marks what the model wrote, and takes it back for another try', async (ctx) => {
  const opened = await open(ctx, { template: 'none' });
  const { page, engine } = opened;
  expect(await page.getByLabel('Chat').isDisabled()).toBe(true);
  const text = page.getByLabel('Text to go on from');
  await text.fill('One');
  await page.keyboard.press('Control+Enter');
  const call = await engine.nextCall();
  textOf(opened, call, ' day');
  call.finish('stop');
  await answered(page);
  expect(await text.inputValue()).toBe('One day');
  expect(await page.locator('#mirror mark').allTextContents()).toEqual([' day']);

  await button(page, 'Regenerate').click();
  const again = await engine.nextCall();
  expect(again.request.prompt).toEqual(call.request.prompt);
  textOf(opened, again, ' night');
  again.finish('stop');
  await answered(page);
  expect(await text.inputValue()).toBe('One night');

  await text.press('End');
  await page.keyboard.type('s of rain');
  await text.press('Home');
  await page.keyboard.type('No ');
  expect(await page.locator('#mirror mark').allTextContents()).toEqual([' night']);
  expect(await button(page, 'Regenerate').isDisabled()).toBe(true);
});

it.for(['button', 'Escape'])('stops the model by %s, and keeps what came', async (how, ctx) => {
  const opened = await open(ctx);
  const { page, engine } = opened;
  await page.getByLabel('Message').fill('Go');
  await page.keyboard.press('Enter');
  const call = await engine.nextCall();
  textOf(opened, call, 'One two');
  await page.getByRole('listitem').getByText('One two').waitFor();
  if (how === 'button') await button(page, 'Stop').click();
  else await page.keyboard.press('Escape');
  expect(await call.ended).toEqual({ early: true });
  await page.getByText(/ · stopped$/).waitFor();
  await button(page, 'Send').waitFor();
  expect(await page.getByRole('listitem').getByText('One two').isVisible()).toBe(true);
});

it("shows the server's own words for what went wrong, and gives the question back", async (ctx) => {
  const { page, problems } = await open(ctx);
  const question = 'Why? '.repeat(600).trim();
  await page.getByLabel('Message').fill(question);
  await page.keyboard.press('Enter');
  const alert = page.getByRole('alert');
  await alert.getByText(/^This model's context is 512 tokens/).waitFor();
  await alert.getByText(/status 400 · context_length_exceeded · request \S+/).waitFor();
  expect(await page.getByLabel('Message').inputValue()).toBe(question);
  expect(problems.map((problem) => problem.replace(/.*\//, ''))).toEqual([
    'metrics', // which this gateway has none of
    'completions',
  ]);
  await page.getByLabel('Message').fill('Short');
  await alert.waitFor({ state: 'hidden' });
});

it('keeps what came before a failure in the middle', async (ctx) => {
  const opened = await open(ctx);
  const { page, engine } = opened;
  await page.getByLabel('Message').fill('Go');
  await page.keyboard.press('Enter');
  const call = await engine.nextCall();
  textOf(opened, call, 'One two');
  await page.getByRole('listitem').getByText('One two').waitFor();
  call.fail(new Error('of the inside'));
  await page.getByRole('alert').getByText('The server failed on this request.').waitFor();
  expect(await page.getByRole('listitem').getByText('One two').isVisible()).toBe(true);
});

it('shows the request as a command', async (ctx) => {
  const { page } = await open(ctx);
  await page.getByLabel('Message').fill("It's");
  await page.getByLabel('Stop at').fill('\\n\nEnd');
  await button(page, 'curl').click();
  const command = await page.getByLabel('Command', { exact: true }).inputValue();
  expect(command).toContain(`"content": "It'\\''s"`);
  expect(command).toContain('"stop": [\n    "\\n",\n    "End"\n  ]');
  await page.keyboard.press('Escape');
  expect(await page.getByRole('dialog').count()).toBe(0);
});

it.for(['as browsers do now', 'as they do where a page came without TLS'])(
  'copies an answer, %s',
  async (how, ctx) => {
    const gateway = await startGateway(() => () => undefined);
    const { page } = await openPlayground(ctx, gateway.server.url, {
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    await page.getByLabel('Message').fill('Go');
    await page.keyboard.press('Enter');
    const call = await gateway.engine.nextCall();
    call.emit(...gateway.tokens('One\n\n  two'));
    call.finish('stop');
    await answered(page);
    if (how.endsWith('TLS')) await page.evaluate('navigator.clipboard.writeText = undefined');
    await button(page, 'Copy the answer').click();
    await page.locator('.message use[href="#icon-done"]').waitFor({ state: 'attached' });
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe('One\n\n  two');
  },
);
