import type { InFlight } from './in-flight.ts';
import type { ModelService } from './model-service.ts';

/** What the handlers share. */
export interface Gateway {
  service: ModelService;
  inFlight: InFlight;
  /** Completions made or waiting at once; further ones are turned away. */
  maxCompletions: number;
  /** Told of errors that nobody else will hear of: the answer had begun. */
  onError: (error: unknown) => void;
}
