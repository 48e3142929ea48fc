import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';
import { answered, button, openPlayground, styles } from './playground-page.ts';

const longWord = 'Donaudampfschifffahrtsgesellschaft'.repeat(4);

/** How bright a colour `rgb(r, g, b)` is, 0 to 255. */
async function brightness(page: Page): Promise<number> {
  const [colour] = await styles(page.locator('body'), 'backgroundColor');
  const [red, green, blue] = colour!.match(/\d+/g)!.map(Number);
  return (red! + green! + blue!) / 3;
}

describe('colours', () => {
  it("are the system's, and change with it", async (ctx) => {
    const { server } = await startGateway(() => () => []);
    const { page } = await openPlayground(ctx, server.url, { colorScheme: 'dark' });
    expect(await brightness(page)).toBeLessThan(40);
    await page.emulateMedia({ colorScheme: 'light' });
    expect(await brightness(page)).toBeGreaterThan(230);
  });

  it('are those that were chosen, also after the page was loaded anew', async (ctx) => {
    const { server } = await startGateway(() => () => []);
    const { page } = await openPlayground(ctx, server.url, { colorScheme: 'light' });
    await button(page, "Colours: as the system's").click();
    expect(await brightness(page)).toBeLessThan(40);
    await page.reload({ waitUntil: 'commit' });
    await button(page, 'Colours: dark').waitFor();
    expect(await brightness(page)).toBeLessThan(40);
    await button(page, 'Colours: dark').click();
    await button(page, 'Colours: light').click();
    await page.emulateMedia({ colorScheme: 'dark' });
    await button(page, "Colours: as the system's").waitFor();
    expect(await brightness(page)).toBeLessThan(40);
  });
});

describe.each([320, 360, 768, 1280, 1920])('on a screen %d pixels wide', (width) => {
  it.for(['chat', 'text'])('nothing is wider than it, in %s', async (mode, ctx) => {
    const gateway = await startGateway(() => () => undefined, mode === 'text' ? { template: 'none' } : {});
    const { page } = await openPlayground(ctx, gateway.server.url, { viewport: { width, height: 700 } });
    const field = page.getByLabel(mode === 'chat' ? 'Message' : 'Text to go on from');
    await field.fill(longWord);
    await button(page, mode === 'chat' ? 'Send' : 'Continue').click();
    const call = await gateway.engine.nextCall();
    call.emit(...gateway.tokens(`${longWord}\n\`\`\`\n${longWord}\n\`\`\`\n`));
    call.finish('length');
    await answered(page);
    expect(await overflow(page)).toEqual([]);
    if (width <= 900) await button(page, 'Model and settings').click();
    await page.getByLabel('API key').waitFor();
    expect(await overflow(page)).toEqual([]);
  });
});

/** Elements that reach beyond the right edge, but for what scrolls within its own box. */
async function overflow(page: Page): Promise<string[]> {
  return await page.evaluate(`
    [...document.querySelectorAll('body *')]
      .filter((node) => !node.closest('pre, .hidden, svg') && node.getBoundingClientRect().right > innerWidth + 0.5)
      .map((node) => node.outerHTML.slice(0, 100))
      .concat(document.documentElement.scrollWidth > innerWidth ? ['the page'] : [])
  `);
}

it('moves nothing where the system asks for rest', async (ctx) => {
  const gateway = await startGateway(() => () => undefined);
  const { page } = await openPlayground(ctx, gateway.server.url, { reducedMotion: 'reduce' });
  await page.getByLabel('Message').fill('Go');
  await button(page, 'Send').click();
  await gateway.engine.nextCall();
  expect(await page.evaluate('document.getAnimations().length')).toBe(0);
  await page.emulateMedia({ reducedMotion: 'no-preference' });
  expect(await page.evaluate('document.getAnimations().length')).toBeGreaterThan(0);
});
