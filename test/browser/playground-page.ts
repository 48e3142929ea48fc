import type { BrowserContextOptions, Locator, Page } from 'playwright-core';
import type { TestContext } from 'vitest';
import { type OpenedPage, openPage } from './chromium.ts';

/** The playground, once it knows its model. */
export async function openPlayground(
  ctx: TestContext,
  url: string,
  options: BrowserContextOptions = {},
): Promise<OpenedPage> {
  const opened = await openPage(ctx, `${url}/`, options);
  await opened.page.locator('#model option').first().waitFor({ state: 'attached' });
  await opened.page.locator('body[data-mode]:not([aria-busy="true"])').waitFor();
  return opened;
}

export const button = (page: Page, name: string | RegExp) => page.getByRole('button', { name, exact: true });

/** Until no answer is coming. */
export const answered = (page: Page) => page.locator('body:not(.running)').waitFor();

/** One property of each element, as it is painted. Made from a text, since the browser's names are none of Node's. */
export async function styles(elements: Locator, property: string): Promise<string[]> {
  const body = 'return nodes.map((node) => getComputedStyle(node)[property])';
  const read = new Function('nodes', 'property', body) as (nodes: unknown[], property: string) => string[];
  return await elements.evaluateAll(read, property);
}
