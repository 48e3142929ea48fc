import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';
import { answered, button, openPlayground } from './playground-page.ts';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe finds, WCAG's rules and the good practices; all of it, since all can be met. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const found = await page.evaluate<AxeResults>('axe.run(document)');
  return found.violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id}: ${target} ${failureSummary}`),
  );
}

describe.each(['light', 'dark'] as const)('in the %s, axe finds nothing wrong with', (colorScheme) => {
  it.for([1280, 360])(
    'a page %d pixels wide: empty, while it answers, answered, its command',
    async (width, ctx) => {
      const { server, engine, tokens } = await startGateway(() => () => undefined);
      const { page } = await openPlayground(ctx, server.url, {
        ...{ colorScheme, bypassCSP: true, reducedMotion: 'reduce' },
        viewport: { width, height: 740 },
      });
      expect(await violations(page)).toEqual([]);

      await page.getByLabel('Message').fill('Which code?');
      await button(page, 'Send').click();
      const call = await engine.nextCall();
      call.emit(...tokens('This:\n```js\nlet a;\n```\nand `b`.'));
      await page.getByRole('group', { name: 'Code: js' }).waitFor();
      expect(await violations(page)).toEqual([]);

      call.finish('length');
      await answered(page);
      expect(await violations(page)).toEqual([]);

      await button(page, 'curl').click();
      expect(await violations(page)).toEqual([]);
      await button(page, 'Close').click();
      if (width > 900) return;
      await button(page, 'Model and settings').click();
      expect(await violations(page)).toEqual([]);
    },
  );
});
