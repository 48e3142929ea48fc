import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, onTestFinished, type TestContext } from 'vitest';
import { requirement } from '../fixtures/requirement.ts';

const names = ['chromium', 'chromium-browser', 'google-chrome'];

function executable(): string | undefined {
  const { CHROMIUM, PATH = '' } = process.env;
  if (CHROMIUM) return CHROMIUM;
  return PATH.split(':')
    .flatMap((folder) => names.map((name) => join(folder, name)))
    .find((path) => existsSync(path));
}

let browser: Promise<Browser> | undefined;
afterAll(async () => (await browser)?.close());

export interface OpenedPage {
  page: Page;
  /** Of everything that was asked for, the addresses. */
  requests: string[];
  /** What the page complained about; a test that expects nothing says so. */
  problems: string[];
}

/** A page in a browser of its own memory, until the test ends. Without Chromium the test is skipped loudly. */
export async function openPage(
  ctx: TestContext,
  url: string,
  options: BrowserContextOptions = {},
): Promise<OpenedPage> {
  const executablePath = executable();
  requirement(ctx, executablePath ? undefined : 'Chromium (scripts/chromium.sh, or its path in CHROMIUM)');
  // Containers seldom let it have its own sandbox, and the pages are ours.
  browser ??= chromium.launch({ executablePath: executablePath!, args: ['--no-sandbox'] });
  const context = await (await browser).newContext({ viewport: { width: 1280, height: 800 }, ...options });
  onTestFinished(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const requests: string[] = [];
  const problems: string[] = [];
  page.on('request', (request) => requests.push(request.url()));
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('console', (message) => {
    // The address of what could not be loaded is in none of the message's words.
    if (message.type() === 'error') problems.push(`${message.text()} ${message.location().url}`);
  });
  await page.goto(url);
  return { page, requests, problems };
}
