import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { k6Program } from '../../load/run-k6.ts';
import { startGateway } from '../fixtures/gateway.ts';
import { requirement } from '../fixtures/requirement.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

const root = join(import.meta.dirname, '..', '..');

/** `npm run load`, as users run it. */
async function load(...args: string[]) {
  const running = promisify(execFile)(process.execPath, ['bin/run.js', 'load/run.ts', ...args], {
    cwd: root,
  });
  const { stdout, stderr } = await running.catch((error) => error);
  return { stdout, stderr, code: running.child.exitCode };
}

it('runs the smoke scenario with k6 and the client, and writes summary, report and numbers', async (ctx) => {
  requirement(ctx, k6Program() ? undefined : 'k6 (load/k6.sh)');
  const gateway = await startGateway((model) => () => model.tokens(' once upon a time there was a fox'));
  const out = await temporaryFolder();
  const { code, stderr, stdout } = await load(
    '--url',
    gateway.server.url,
    '--scenario',
    'smoke',
    '--out',
    out,
  );
  expect(code, stderr).toBe(0);
  const summary = await readFile(join(out, 'summary.md'), 'utf8');
  expect(stdout).toBe(summary);
  expect(summary).toMatch(/\| \[k6\]\(smoke\.html\) \| 1[01] \| 0 \|.*passed/);
  expect(summary).toMatch(/\| client \| 10 \| 0 \|.*passed/);
  expect((await readFile(join(out, 'smoke.html'), 'utf8')).includes('<title>k6 report</title>')).toBe(true);
  const [result] = JSON.parse(await readFile(join(out, 'results.json'), 'utf8'));
  expect(result.runs.map(({ by }: { by: string }) => by)).toEqual(['k6', 'client']);
  // No prompt twice: what a server keeps of one would make the second client's run look better.
  const prompts = gateway.engine.calls.slice(2).map(({ request }) => request.prompt.join());
  expect(prompts.length).toBeGreaterThanOrEqual(20);
  expect(new Set(prompts).size).toBe(prompts.length);
});

it('fails, in the exit code and in words, where requests fail', async (ctx) => {
  requirement(ctx, k6Program() ? undefined : 'k6 (load/k6.sh)');
  const gateway = await startGateway((model) => () => model.tokens(' once'));
  // Ready when it is asked what it serves, broken from the first request of the load on.
  let requests = 0;
  const { engine } = gateway;
  const generate = engine.generate.bind(engine);
  engine.generate = (request, signal) => {
    if (++requests > 2) throw new Error('out of order');
    return generate(request, signal);
  };
  const out = await temporaryFolder();
  const args = ['--scenario', 'smoke', '--duration', '0.4', '--out', out];
  const { code, stdout } = await load('--url', gateway.server.url, ...args);
  expect(code).toBe(1);
  expect(stdout).toMatch(/\*\*k6\*\*: 100\.0% of the requests failed/);
  expect(stdout).toMatch(/\*\*client\*\*: 100\.0% of the requests failed, at most 0\.0% may \(4x 5\d\d/);
});

it('says what is wrong with its arguments', async () => {
  const { code, stderr } = await load('--url', 'http://127.0.0.1:9', '--scenario', 'stampede');
  expect(code).toBe(2);
  expect(stderr).toMatch(/no scenario stampede. Expected one of smoke/);
});
