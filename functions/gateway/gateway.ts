import type { InFlight } from './in-flight.ts';
import type { ModelRegistry } from './model-registry.ts';

/** What the handlers share. */
export interface Gateway {
  models: ModelRegistry;
  inFlight: InFlight;
  /** Completions made or waiting at once; further ones are turned away. */
  maxCompletions: number;
  /** Told of errors that nobody else will hear of: the answer had begun. */
  onError: (error: unknown) => void;
}
