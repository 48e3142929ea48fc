import type { ModelRegistry } from '../model-registry.ts';
import type { RequestObserver } from './observer.ts';

/** What Prometheus reads. */
export interface Metrics extends RequestObserver {
  readonly contentType: string;
  /** @param asked completions that requests ask of a model at this moment */
  text(models: ModelRegistry, asked: (model: object) => number): Promise<string>;
  /** A model was loaded. */
  loaded(model: string, seconds: number): void;
  /** A blob came from the store. @param kind what it holds: `block`, `embedding`, ... */
  fetched(model: string, kind: string, bytes: number, seconds: number): void;
}
