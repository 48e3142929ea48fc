import { existsSync } from 'node:fs';
import { afterAll, beforeAll, expect, it, type TestContext } from 'vitest';
import { closedLoop, openLoop, type Target } from '../../load/client/open-loop.ts';
import { quantile } from '../../load/client/quantile.ts';
import { k6Program, runK6 } from '../../load/run-k6.ts';
import type { Scenario } from '../../load/scenario/scenario.ts';
import { realModelPath } from '../../scripts/real-models.ts';
import { foldgate, startFoldgate } from '../fixtures/command-line.ts';
import { requirement } from '../fixtures/requirement.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

/**
 * The client sees streams arrive, k6 takes the server's word: each must tell what the server tells of the very same
 * requests, and so they agree. (Beside each other they would be two runs, and the machine's mood between them.) A model whose prompt
 * takes a good part of a second, so that the milliseconds of HTTP between client and server are no part of it.
 */
const scenario: Scenario = {
  description: 'One at a time.',
  seed: 11,
  endpoint: 'completions',
  stream: true,
  arrivals: { process: 'constant', stages: [{ seconds: 16, perSecond: 0.5 }] },
  prompts: [{ name: 'usual', share: 1, words: [500, 500], sharedWords: 0, maxTokens: 160 }],
  limits: { errorRate: 0 },
};

const checkpoint = realModelPath('smollm2');
const missing = !existsSync(checkpoint)
  ? 'SmolLM2 (npm run models:fetch -- smollm2)'
  : k6Program() === undefined
    ? 'k6 (load/k6.sh)'
    : undefined;

let server: ReturnType<typeof startFoldgate>;
let target: Target;
const store = `.cache/load/agreement`;
let nextRequest = 0;

beforeAll(async () => {
  if (missing) return;
  if (!existsSync(`${store}/models/smollm2`)) {
    const options = ['--share', '3', '--calibrate', 'none', '--no-quality', '--quantize', 'int4:128'];
    const { code, stderr } = await foldgate('fold', checkpoint, ...options, '--out', `file:${store}/smollm2`);
    expect(code, stderr).toBe(0);
  }
  server = startFoldgate(['serve', '--store', store, '--model', 'smollm2', '--port', '0']);
  const url = await new Promise<string>((resolve, reject) => {
    let log = '';
    server.child.stderr!.on('data', (text) => {
      log += text;
      const [, found] = /is ready: (\S+)\/v1/.exec(log) ?? [];
      if (found) resolve(found);
    });
    server.child.once('exit', () => reject(new Error(`The server ended: ${log}`)));
  });
  target = { url, model: 'smollm2' };
  await closedLoop(scenario, target, { streams: 1, requests: 3, from: 1_000_000 }); // what is lazy is made
});

afterAll(() => void server?.child.kill('SIGKILL'));

// Other work on the machine can come between two runs; that it does so every time is unlikely.
it('client, k6 and server tell the same times within 5%', { retry: 3, timeout: 300_000 }, async (ctx) => {
  requirement(ctx as unknown as TestContext, missing);
  const folder = await temporaryFolder();
  const seen = { client: [] as Times[], ofClient: [] as Times[], k6: [] as Times[], ofK6: [] as Times[] };
  for (let round = 0; round < 3; round++) {
    // No prompt twice: the server keeps what it computed.
    nextRequest += 1000;
    const from = nextRequest;
    const { summary } = await runK6(`round-${round}`, scenario, target, { folder, from });
    // Whether one is due at the very end is a matter of k6's clock.
    expect(summary.errors).toEqual({});
    expect([8, 9]).toContain(summary.requests);
    const byServer = { ttft: summary.server!.ttftMs!.p50, interToken: summary.server!.interTokenMs!.p50 };
    seen.ofK6.push(byServer);
    seen.k6.push({ ttft: summary.ttftMs!.p50, interToken: byServer.interToken });

    const { outcomes } = await openLoop(scenario, target, from + 500);
    expect(outcomes.map(({ error }) => error)).toEqual(Array(8).fill(undefined));
    const median = (values: (number | undefined)[]) => quantile(values as number[], 0.5);
    seen.client.push({
      ttft: median(outcomes.map(({ ttftMs }) => ttftMs)),
      interToken: median(outcomes.map(({ interTokenMs }) => interTokenMs)),
    });
    seen.ofClient.push({
      ttft: median(outcomes.map(({ server }) => server?.ttftMs)),
      interToken: median(outcomes.map(({ server }) => server?.interTokenMs)),
    });
  }
  const middle = (times: Times[], of: keyof Times) =>
    quantile(
      times.map((each) => each[of]),
      0.5,
    );
  const ratio = (a: keyof typeof seen, b: keyof typeof seen, of: keyof Times) =>
    middle(seen[a], of) / middle(seen[b], of);
  const ratios = {
    'first token, client / server': ratio('client', 'ofClient', 'ttft'),
    'first token, k6 / server': ratio('k6', 'ofK6', 'ttft'),
    'between tokens, client / server': ratio('client', 'ofClient', 'interToken'),
  };
  console.log(ratios);
  for (const [what, value] of Object.entries(ratios)) expect(Math.abs(value - 1), what).toBeLessThan(0.05);
});

interface Times {
  ttft: number;
  interToken: number;
}
