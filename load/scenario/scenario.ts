/**
 * One kind of load, as data: what is asked, how often, and what counts as too slow. k6 and the open-loop
 * client read the same files, `load/scenarios/NAME.json`.
 */
export interface Scenario {
  /** One sentence, shown in summaries. */
  description: string;
  /** Same seed: same prompts and, for the open-loop client, same arrivals. */
  seed: number;
  endpoint: 'completions' | 'chat';
  stream: boolean;
  arrivals: Arrivals;
  /** Kinds of requests, drawn by their share. */
  prompts: PromptKind[];
  limits: Limits;
}

export interface Arrivals {
  /** k6 has no Poisson arrivals: it spaces the same number evenly. */
  process: 'constant' | 'poisson';
  /** One after the other, each at its own rate. */
  stages: { seconds: number; perSecond: number }[];
}

export interface PromptKind {
  name: string;
  /** How many of the requests, relative to the other kinds. */
  share: number;
  /** Fewest and most words that differ from request to request; English has about 1.3 tokens a word. */
  words: [number, number];
  /** Words at the beginning, or in the system message, that all requests of the scenario have in common. */
  sharedWords: number;
  maxTokens: number;
}

/** Beyond any of these the run has failed; what is left out is not judged. Milliseconds. */
export interface Limits {
  /** Part of the requests that may fail. */
  errorRate: number;
  ttftMs?: Quantiles;
  interTokenMs?: Quantiles;
  latencyMs?: Quantiles;
  /** Part by which resident memory may grow from the second quarter of the run to the last. */
  memoryGrowth?: number;
}

export interface Quantiles {
  p50?: number;
  p95?: number;
}

/** Seconds that requests keep arriving. */
export function secondsOf({ stages }: Arrivals): number {
  return stages.reduce((sum, { seconds }) => sum + seconds, 0);
}

/** The same load for longer, or with more requests a second. */
export function scaled(scenario: Scenario, { duration = 1, rate = 1 }): Scenario {
  const stages = scenario.arrivals.stages.map(({ seconds, perSecond }) => ({
    seconds: seconds * duration,
    perSecond: perSecond * rate,
  }));
  return { ...scenario, arrivals: { ...scenario.arrivals, stages } };
}
