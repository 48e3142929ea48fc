import type { Limits } from '../scenario/scenario.ts';
import type { Run } from './open-loop.ts';
import { type Spread, spread } from './quantile.ts';

/** What a run came to, whoever measured it. Milliseconds. */
export interface Summary {
  requests: number;
  /** How many failed, by why. */
  errors: Record<string, number>;
  seconds: number;
  /** Completion tokens. */
  tokensPerSecond: number;
  promptTokens: number;
  cachedTokens: number;
  latencyMs?: Spread | undefined;
  ttftMs?: Spread | undefined;
  interTokenMs?: Spread | undefined;
  /** Waits between pieces of text, of all requests together; only a client that reads streams sees them. */
  gapMs?: Spread | undefined;
  /** By the server's own account. */
  server?: { ttftMs?: Spread | undefined; interTokenMs?: Spread | undefined };
  memory?: MemorySummary;
}

export interface MemorySummary {
  /** The most that was seen. */
  residentBytes?: number | undefined;
  growth?: number | undefined;
  /** Why there is nothing. */
  missing?: string | undefined;
}

export function summarise({ outcomes, seconds }: Run): Summary {
  const errors: Record<string, number> = {};
  for (const { error } of outcomes) if (error !== undefined) errors[error] = (errors[error] ?? 0) + 1;
  const answered = outcomes.filter(({ error }) => error === undefined);
  const total = (field: 'tokens' | 'promptTokens' | 'cachedTokens') =>
    answered.reduce((sum, outcome) => sum + outcome[field], 0);
  const present = (values: (number | undefined)[]) => spread(values.filter((value) => value !== undefined));
  return {
    requests: outcomes.length,
    errors,
    seconds,
    tokensPerSecond: total('tokens') / seconds,
    promptTokens: total('promptTokens'),
    cachedTokens: total('cachedTokens'),
    latencyMs: spread(answered.map(({ latencyMs }) => latencyMs)),
    ttftMs: present(answered.map(({ ttftMs }) => ttftMs)),
    interTokenMs: present(answered.map(({ interTokenMs }) => interTokenMs)),
    gapMs: spread(answered.flatMap(({ gapsMs }) => gapsMs)),
    server: {
      ttftMs: present(answered.map(({ server }) => server?.ttftMs)),
      interTokenMs: present(answered.map(({ server }) => server?.interTokenMs)),
    },
  };
}

/** Every limit that the run went beyond, as a sentence. A first token or a token's time comes from the server
 * where the client cannot see it. */
export function violations(summary: Summary, limits: Limits): string[] {
  const found: string[] = [];
  const failed = Object.values(summary.errors).reduce((sum, count) => sum + count, 0);
  const rate = summary.requests === 0 ? 1 : failed / summary.requests;
  if (rate > limits.errorRate) {
    const causes = Object.entries(summary.errors).map(([error, count]) => `${count}x ${error}`);
    const what = summary.requests === 0 ? 'nothing was sent' : causes.join(', ');
    found.push(`${percent(rate)} of the requests failed, at most ${percent(limits.errorRate)} may (${what})`);
  }
  const measured = {
    ttftMs: summary.ttftMs ?? summary.server?.ttftMs,
    interTokenMs: summary.interTokenMs ?? summary.server?.interTokenMs,
    latencyMs: summary.latencyMs,
  };
  for (const [metric, name] of Object.entries(metricNames) as [keyof typeof metricNames, string][]) {
    for (const quantile of ['p50', 'p95'] as const) {
      const limit = limits[metric]?.[quantile];
      const value = measured[metric]?.[quantile];
      if (limit !== undefined && value !== undefined && value > limit)
        found.push(`${name} at ${quantile} is ${value.toFixed(0)} ms, more than ${limit} ms`);
    }
  }
  const growth = summary.memory?.growth;
  if (limits.memoryGrowth !== undefined && growth !== undefined && growth > limits.memoryGrowth)
    found.push(`memory grew by ${percent(growth)}, more than ${percent(limits.memoryGrowth)}`);
  return found;
}

const metricNames = {
  ttftMs: 'time to the first token',
  interTokenMs: 'time between tokens',
  latencyMs: 'latency',
} as const;

function percent(part: number): string {
  return `${(part * 100).toFixed(1)}%`;
}
