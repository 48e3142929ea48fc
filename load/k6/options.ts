import type { Scenario as K6Scenario, Options } from 'k6/options';
import {
  type Arrivals,
  type Limits,
  type Quantiles,
  type Scenario,
  secondsOf,
} from '../scenario/scenario.ts';

/** Seconds that requests may still run after the last one was sent. */
const graceSeconds = 120;

/**
 * Seconds of requests that can be under way before k6 has to make another virtual user, which it drops a request
 * for; and users it has from the start at most.
 */
const preparedSeconds = 30;
const maxPreparedUsers = 200;
/** Virtual users at most; each is a JavaScript engine of some MB. What comes beyond is counted as dropped. */
const maxUsers = 500;

/** What k6 shall do for a scenario: its arrivals, its limits as thresholds, and who watches the memory. */
export function k6Options(scenario: Scenario): Options {
  const seconds = secondsOf(scenario.arrivals);
  return {
    scenarios: {
      requests: {
        exec: 'request',
        gracefulStop: `${graceSeconds}s`,
        ...executor(scenario.arrivals),
      } as K6Scenario,
      memory: {
        exec: 'watchMemory',
        executor: 'per-vu-iterations',
        vus: 1,
        iterations: 1,
        maxDuration: `${Math.ceil(seconds) + graceSeconds}s`,
      },
    },
    thresholds: thresholds(scenario.limits),
    summaryTrendStats: ['med', 'p(95)', 'p(99)'],
    noConnectionReuse: false,
    userAgent: 'foldgate-load (k6)',
  };
}

/** k6 takes whole numbers of requests: a minute's are fine enough. */
function executor({ stages }: Arrivals) {
  const perMinute = (perSecond: number) => Math.round(perSecond * 60);
  const highest = Math.max(...stages.map(({ perSecond }) => perSecond));
  const users = {
    timeUnit: '1m',
    preAllocatedVUs: Math.min(maxPreparedUsers, Math.ceil(highest * preparedSeconds) + 10),
    maxVUs: maxUsers,
  };
  const [first, ...others] = stages;
  if (others.length === 0) {
    const { seconds, perSecond } = first!;
    return {
      executor: 'constant-arrival-rate',
      rate: perMinute(perSecond),
      duration: `${seconds}s`,
      ...users,
    };
  }
  return {
    executor: 'ramping-arrival-rate',
    startRate: perMinute(first!.perSecond),
    // Between two targets k6 goes in a line; a stage of no length is a jump.
    stages: stages.flatMap(({ seconds, perSecond }) => [
      { target: perMinute(perSecond), duration: '0s' },
      { target: perMinute(perSecond), duration: `${seconds}s` },
    ]),
    ...users,
  };
}

/** The names are those of the metrics in `scenario.ts`. */
function thresholds(limits: Limits): Record<string, string[]> {
  const growth = limits.memoryGrowth;
  return {
    failed: [`rate<=${limits.errorRate}`],
    dropped_iterations: ['count==0'],
    ...quantiles('ttft', limits.ttftMs),
    ...quantiles('inter_token', limits.interTokenMs),
    ...quantiles('latency', limits.latencyMs),
    ...(growth !== undefined && { memory_growth: [`value<=${growth}`] }),
  };
}

function quantiles(metric: string, limits: Quantiles | undefined): Record<string, string[]> {
  const { p50, p95 } = limits ?? {};
  const list = [...(p50 ? [`med<=${p50}`] : []), ...(p95 ? [`p(95)<=${p95}`] : [])];
  return list.length > 0 ? { [metric]: list } : {};
}
