import type { Spread } from '../client/quantile.ts';
import type { Summary } from '../client/summary.ts';

/** What k6 hands to `handleSummary`, as far as it is read here. */
export interface K6Data {
  state: { testRunDurationMs: number };
  metrics: Record<string, { values: Record<string, number>; thresholds?: Record<string, { ok: boolean }> }>;
}

/** k6's numbers in the form of the open-loop client's. */
export function k6Summary({ state, metrics }: K6Data): Summary {
  const values = (name: string) => metrics[name]?.values ?? {};
  const count = (name: string) => values(name).count ?? 0;
  const spread = (name: string): Spread | undefined => {
    const { med, 'p(95)': p95, 'p(99)': p99 } = values(name);
    return med === undefined || p95 === undefined || p99 === undefined ? undefined : { p50: med, p95, p99 };
  };
  // Of a rate, "passes" are the times it was true.
  const { passes: failures = 0, fails: answers = 0 } = values('failed');
  const dropped = count('dropped_iterations');
  const seconds = state.testRunDurationMs / 1000;
  const residentBytes = values('resident_bytes').max;
  const growth = values('memory_growth').value;
  return {
    requests: failures + answers + dropped,
    errors: {
      ...(failures > 0 && { 'failed, see the log': failures }),
      ...(dropped > 0 && { 'never sent, k6 had no user free': dropped }),
    },
    seconds,
    tokensPerSecond: count('tokens') / seconds,
    promptTokens: count('prompt_tokens'),
    cachedTokens: count('cached_tokens'),
    latencyMs: spread('latency'),
    ttftMs: spread('first_byte'),
    server: { ttftMs: spread('ttft'), interTokenMs: spread('inter_token') },
    memory:
      residentBytes === undefined
        ? { missing: 'no process_resident_memory_bytes in /metrics' }
        : { residentBytes, ...(growth !== undefined && { growth }) },
  };
}
