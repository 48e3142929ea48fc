import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { requirement } from '../fixtures/requirement.ts';
import { storedPico } from '../fixtures/served-pico.ts';
import { serving } from '../fixtures/serving.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

const program = join(import.meta.dirname, '../../.cache/schemathesis/bin/schemathesis');

/** Requests made for each operation in the phase of random ones; the others make some thousand besides. */
const examples = Number(process.env.FUZZ_EXAMPLES ?? 25);

/**
 * Left out: a method that is no method gets an answer from Node before any of ours; that fields exclude each other is
 * more than JSON Schema says, so what it calls valid may be refused.
 */
const excluded = 'unsupported_method,positive_data_acceptance';

it('thousands of requests made from the OpenAPI document get the answers it promises, none a fault of ours', async (ctx) => {
  requirement(ctx, existsSync(program) ? undefined : `${program} (npm run fuzz:install)`);
  const { storeUrl } = await storedPico('llama');
  // The document's examples ask for MODEL.
  const alias = ['--model', 'MODEL=pico', '--context', '64', '--max-body', '200KB', '--deadline', '20s'];
  const { url, log, stop } = await serving(storeUrl, alias);
  const options = ['-n', String(examples), '--seed', '1', '--continue-on-failure', '--request-timeout', '30'];
  const command = ['run', `${url}/openapi.json`, ...options, '--exclude-checks', excluded];
  const cwd = await temporaryFolder(); // it leaves notes there
  const { code, stdout } = await new Promise<{ code: number; stdout: string }>((resolve) => {
    execFile(program, command, { cwd, maxBuffer: 64e6 }, (error, stdout) =>
      resolve({ code: error ? Number(error.code) : 0, stdout }),
    );
  });
  expect(code, stdout.slice(-8_000)).toBe(0);
  const generated = Number(/^ *(\d+) generated/m.exec(stdout)![1]);
  console.info(`${generated} requests made.`); // how many depends on the document as well
  expect(generated).toBeGreaterThan(2_000);
  const levels = log()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { level: string; msg: string });
  expect(levels.filter(({ level }) => level === 'error')).toEqual([]);
  expect((await fetch(`${url}/readyz`)).status).toBe(200);
  expect(await stop()).toBe(0);
}, 3_600_000);
