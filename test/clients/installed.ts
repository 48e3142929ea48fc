import { existsSync } from 'node:fs';
import type { TestContext } from 'vitest';
import { requirement } from '../fixtures/requirement.ts';

/** Whether a client is there to test with. Where it is not, the test is skipped loudly, and fails in CI. */
export function requireClient(ctx: TestContext, name: string): void {
  const isThere = existsSync(new URL(`node_modules/${name}/package.json`, import.meta.url));
  requirement(ctx, isThere ? undefined : `the client ${name} (npm run clients:install)`);
}
