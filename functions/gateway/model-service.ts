import type { GenerationRequest } from '../engine/engine.ts';
import type { LoadedModel } from '../model/loaded-model.ts';
import { ModelUnavailableError } from './errors.ts';

export type ModelState = { state: 'loading' | 'ready' } | { state: 'failed' | 'closed'; reason: string };

/** The model a gateway serves. */
export interface ModelService extends AsyncDisposable {
  readonly name: string;
  /** When the model was folded, or this service began, in Unix seconds. */
  readonly created: number;
  readonly state: ModelState;
  /** Loads the model once, however many ask; after a failure the next call tries again. @throws ModelUnavailableError */
  load(): Promise<LoadedModel>;
  /** A generation failed. Where the model can no longer generate at all, it is loaded anew. */
  reportFailure(model: LoadedModel, error: Error): Promise<void>;
}

export interface ModelServiceOptions {
  name: string;
  /** Loads the model; `signal` aborts when the service closes. */
  load(signal: AbortSignal): Promise<LoadedModel>;
  /** Told of every failed load and every failed model, with what clients are not told. */
  onFailure?: (error: Error) => void;
}

export function createModelService({ name, load, onFailure }: ModelServiceOptions): ModelService {
  const closing = new AbortController();
  // What failed may tell paths and addresses of the inside: that is for `onFailure`, not for clients.
  const unavailable = `Model ${name} could not be loaded; the server's log says why.`;
  let loading: Promise<LoadedModel> | undefined;
  let current: LoadedModel | undefined;
  let state: ModelState = { state: 'loading' };

  function fail(error: Error): void {
    loading = undefined;
    current = undefined;
    if (closing.signal.aborted) return;
    state = { state: 'failed', reason: unavailable };
    onFailure?.(error);
  }

  async function loadOnce(): Promise<LoadedModel> {
    state = { state: 'loading' };
    try {
      const model = await load(closing.signal);
      if (closing.signal.aborted) {
        await model.engine[Symbol.asyncDispose]();
        throw new ModelUnavailableError('The server is shutting down.');
      }
      current = model;
      state = { state: 'ready' };
      return model;
    } catch (error) {
      fail(error as Error);
      throw error instanceof ModelUnavailableError
        ? error
        : new ModelUnavailableError(unavailable, { cause: error });
    }
  }

  const service: ModelService = {
    name,
    created: Math.floor(Date.now() / 1000),
    get state() {
      return state;
    },
    async load() {
      if (closing.signal.aborted) throw new ModelUnavailableError('The server is shutting down.');
      loading ??= loadOnce();
      return loading;
    },
    async reportFailure(model, error) {
      // One request's failure is not the model's: only one that cannot do the least is replaced.
      if (model !== current || (await canGenerate(model)) || model !== current) return;
      fail(error);
      void disposeQuietly(model);
      // At once, not at the next request: an unready server may get none.
      service.load().catch(() => {});
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      state = { state: 'closed', reason: 'The server is shutting down.' };
      // A load that is under way sees `closing` and disposes of its own model.
      if (current) await disposeQuietly(current);
      else await loading?.catch(() => {});
    },
  };
  return service;
}

async function canGenerate({ engine }: LoadedModel): Promise<boolean> {
  const sampling = { temperature: 0, topP: 1, topK: 0, minP: 0 };
  const request: GenerationRequest = { prompt: [0], maxTokens: 1, sampling, stopTokens: [], delivery: 'end' };
  try {
    for await (const chunk of engine.generate(request)) if (chunk.finish) return true;
  } catch {}
  return false;
}

async function disposeQuietly(model: LoadedModel): Promise<void> {
  try {
    await model.engine[Symbol.asyncDispose]();
  } catch {
    // It failed already, and nothing uses it any more.
  }
}
