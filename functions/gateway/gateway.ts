import type { RateLimits } from './access/rate-limits.ts';
import type { InFlight } from './in-flight.ts';
import type { ModelRegistry } from './model-registry.ts';
import type { Metrics } from './observe/metrics.ts';

/** What the handlers share. */
export interface Gateway {
  models: ModelRegistry;
  inFlight: InFlight;
  /** Completions of one model made or waiting at once; further ones are turned away. */
  maxCompletions: number;
  maxPromptTokens: number;
  /** Milliseconds that a request may take. */
  deadlineMs: number | undefined;
  limits: RateLimits | undefined;
  metrics: Metrics | undefined;
  /** Told of errors that nobody else will hear of: the answer had begun. */
  onError: (error: unknown) => void;
}
