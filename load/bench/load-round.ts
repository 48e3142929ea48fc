import { setTimeout as sleep } from 'node:timers/promises';
import { closedLoop, openLoop, type Run, type Target } from '../client/open-loop.ts';
import { summarise } from '../client/summary.ts';
import { type Contender, serverOf } from '../peers/contenders.ts';
import { freePort, memoryOf, withServer } from '../peers/process.ts';
import type { Scenario } from '../scenario/scenario.ts';
import type { LoadRound } from './results.ts';

/** Tokens of prompt and completion that each slot has room for. */
const slotTokens = 1024;

/** Milliseconds between two looks at the server's memory. */
const memoryEveryMs = 200;

/** About 90 tokens of SmolLM2 and Qwen, different for each request; 64 tokens each way of measuring. */
export const scenario: Scenario = {
  description: 'Completions of 64 tokens after distinct prompts of about 90.',
  seed: 90,
  endpoint: 'completions',
  stream: true,
  arrivals: { process: 'poisson', stages: [{ seconds: 1, perSecond: 1 }] },
  prompts: [{ name: 'usual', share: 1, words: [74, 80], sharedWords: 0, maxTokens: 64 }],
  limits: { errorRate: 0 },
};

export interface ServedBy {
  programs: string;
  threads: string;
  slots: number;
}

/** Starts the contender's server, warms it up, puts it under load, and stops it. */
async function underLoad(
  contender: Contender,
  { programs, threads, slots }: ServedBy,
  load: (target: Target) => Promise<Run>,
): Promise<LoadRound> {
  const port = await freePort();
  const server = serverOf(contender, { programs, port, threads, limits: { slots, context: slotTokens } });
  return await withServer(server, async ({ pid }) => {
    const target = { url: server.url, model: server.model };
    // What is made at the first request of so many: not what is measured. These prompts do not come again.
    await closedLoop(scenario, target, { streams: slots, requests: slots, from: 1_000_000 });
    const watching = new AbortController();
    const peak = peakMemory(pid, watching.signal);
    const summary = summarise(await load(target));
    watching.abort();
    const failed = Object.values(summary.errors).reduce((sum, count) => sum + count, 0);
    const none = { p50: Number.NaN, p95: Number.NaN };
    const { ttftMs: ttft = none, interTokenMs: interToken = none, tokensPerSecond } = summary;
    return { tokensPerSecond, ttft, interToken, failed, residentMb: await peak };
  });
}

/** So many requests under way until each stream has had `waves` of them. */
export function closedRound(contender: Contender, by: ServedBy, waves: number): Promise<LoadRound> {
  const { slots: streams } = by;
  return underLoad(contender, by, (target) =>
    closedLoop(scenario, target, { streams, requests: streams * waves }),
  );
}

/** Requests at random moments, as users send them, whether or not earlier ones are answered. */
export function openRound(
  contender: Contender,
  by: ServedBy,
  stage: { seconds: number; perSecond: number },
): Promise<LoadRound> {
  const load: Scenario = { ...scenario, arrivals: { process: 'poisson', stages: [stage] } };
  return underLoad(contender, by, (target) => openLoop(load, target));
}

async function peakMemory(pid: number, until: AbortSignal): Promise<number> {
  let peak = 0;
  do {
    peak = Math.max(peak, (await memoryOf(pid)).resident);
    await sleep(memoryEveryMs, undefined, { signal: until }).catch(() => {});
  } while (!until.aborted);
  return peak;
}
