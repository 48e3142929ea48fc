import type { Manifest } from '../../artifact/manifest.ts';
import type { GenerationRequest } from '../engine/engine.ts';
import type { LoadedModel } from '../model/loaded-model.ts';
import { ModelUnavailableError } from './errors.ts';
import { unlessAborted } from './in-flight.ts';
import { NoRoomError } from './memory-budget.ts';

/** `evicted`: it made room for others, and is loaded again with the next request. */
export type ModelState =
  | { state: 'unloaded' | 'loading' | 'ready' | 'evicted' }
  | { state: 'failed' | 'closed'; reason: string };

/** A model lent to one request: it stays loaded until the request gives it back. */
export interface Loan {
  readonly model: LoadedModel;
  /** May be called again, to no effect. */
  end(): void;
}

/** One model's life: loaded when it is asked for, replaced when it fails or has a new version, unloaded. */
export interface ModelService extends AsyncDisposable {
  readonly name: string;
  /** When the model was folded, or this service began, in Unix seconds. */
  readonly created: number;
  readonly state: ModelState;
  /** Whether requests are answered: at once, or after a load that went well before. */
  readonly answers: boolean;
  /** Requests that have the model or wait for it. */
  readonly users: number;
  /** When the last request came or ended, by `performance.now()`. */
  readonly usedAt: number;
  /** What is loaded at this moment, for those that only look. */
  readonly loaded: LoadedModel | undefined;
  /**
   * What the model consists of: the loaded version, or else the newest. Undefined where that cannot be told at
   * once; never a reason to load.
   */
  manifest(): Promise<Manifest | undefined>;
  /** Loads the model once, however many ask; after a failure the next call tries again. @throws ModelUnavailableError */
  load(): Promise<LoadedModel>;
  /** As `load`, and keeps it loaded until the loan ends. @throws ModelUnavailableError; the reason of a signal. */
  borrow(...signals: AbortSignal[]): Promise<Loan>;
  /** A generation failed. Where the model can no longer generate at all, it is loaded anew. */
  reportFailure(model: LoadedModel, error: Error): Promise<void>;
  /**
   * Loads the model's newest version and switches to it: requests that have the old one end with it. Where
   * both have no room at once, new requests wait until the old one is gone.
   * @throws what the load throws; the old version then stays.
   */
  renew(): Promise<void>;
  /** Frees the model's memory. @returns false where it is in use, or not there. */
  unload(): Promise<boolean>;
}

export interface ModelServiceOptions {
  name: string;
  /**
   * Loads the model; `signal` aborts when the service closes. With `beside`, an older version stays loaded
   * meanwhile.
   * @throws NoRoomError where `beside` is too much.
   */
  load(signal: AbortSignal, beside: boolean): Promise<LoadedModel>;
  /** Reads the newest version's manifest, for a model that is not loaded. @default it is not known */
  manifest?(signal: AbortSignal): Promise<Manifest>;
  /** Told of every failed load and every failed model, with what clients are not told. */
  onFailure?: (error: Error) => void;
  /** Told when a model's memory is free again. */
  onUnload?: (model: LoadedModel) => void;
  /** Told when the last request is gone. */
  onIdle?: () => void;
}

/** Milliseconds to wait for a store that is asked for a manifest. */
const manifestDeadlineMs = 2_000;

export function createModelService(options: ModelServiceOptions): ModelService {
  return new Service(options);
}

/** A model in memory, and how many requests have it. */
interface Held {
  readonly model: LoadedModel;
  loans: number;
  /** Resolves when nobody has it any more; there once somebody waits for that. */
  idle?: PromiseWithResolvers<void>;
}

class Service implements ModelService {
  readonly name: string;
  readonly created = Math.floor(Date.now() / 1000);
  users = 0;
  usedAt = performance.now();
  answers = false;
  #state: ModelState = { state: 'unloaded' };
  readonly #options: ModelServiceOptions;
  readonly #closing = new AbortController();
  /** What new requests get. */
  #current: Held | undefined;
  /** All in memory: the current one, and old versions that requests still have. */
  readonly #held = new Set<Held>();
  #loading: Promise<LoadedModel> | undefined;
  #reading: Promise<Manifest | undefined> | undefined;
  #renewing = false;

  constructor(options: ModelServiceOptions) {
    this.#options = options;
    this.name = options.name;
  }

  get state(): ModelState {
    return this.#state;
  }

  get loaded(): LoadedModel | undefined {
    return this.#current?.model;
  }

  async manifest(): Promise<Manifest | undefined> {
    if (this.#current) return this.#current.model.manifest;
    // Once, however many ask.
    this.#reading ??= this.#readManifest().finally(() => {
      this.#reading = undefined;
    });
    return await this.#reading;
  }

  async load(): Promise<LoadedModel> {
    this.#throwIfClosed();
    if (this.#current) return this.#current.model;
    this.#loading ??= this.#loadOnce();
    return await this.#loading;
  }

  async borrow(...signals: AbortSignal[]): Promise<Loan> {
    this.users++; // from here on it is not unloaded
    this.usedAt = performance.now();
    try {
      // Once more where it was replaced between the load's end and here.
      while (!this.#current) await unlessAborted(this.load(), ...signals);
      this.#throwIfClosed();
      return this.#lend(this.#current);
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  async reportFailure(model: LoadedModel, error: Error): Promise<void> {
    // One request's failure is not the model's: only one that cannot do the least is replaced.
    const isCurrent = () => this.#current?.model === model;
    if (!isCurrent() || (await canGenerate(model)) || !isCurrent()) return;
    const failed = this.#current!;
    this.#fail(error);
    await this.#dispose(failed);
    // At once, not at the next request: an unready server may get none.
    this.load().catch(() => {});
  }

  async renew(): Promise<void> {
    const old = this.#current;
    if (!old || this.#renewing || this.#closing.signal.aborted) return; // a load takes the newest anyway
    this.#renewing = true;
    try {
      await this.#become(await this.#options.load(this.#closing.signal, true));
    } catch (error) {
      if (!(error instanceof NoRoomError)) throw error;
      if (this.#current === old) await this.#handOver(old);
    } finally {
      this.#renewing = false;
    }
  }

  async unload(): Promise<boolean> {
    const held = this.#current;
    if (!held || this.users > 0 || this.#renewing) return false;
    this.#current = undefined;
    this.#state = { state: 'evicted' };
    await this.#dispose(held);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    this.#state = { state: 'closed', reason: 'The server is shutting down.' };
    this.answers = false;
    this.#current = undefined;
    // A load that is under way sees `closing` and disposes of its own model.
    await this.#loading?.catch(() => {});
    await Promise.all([...this.#held].map((held) => this.#dispose(held)));
  }

  async #readManifest(): Promise<Manifest | undefined> {
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(manifestDeadlineMs)]);
    // A description is no reason to fail: what is wrong, a load will tell.
    return await this.#options.manifest?.(signal).catch(() => undefined);
  }

  async #loadOnce(before?: Promise<void>): Promise<LoadedModel> {
    this.#state = { state: 'loading' };
    try {
      if (before) await before;
      const model = await this.#options.load(this.#closing.signal, false);
      await this.#become(model);
      return model;
    } catch (error) {
      this.#fail(error as Error);
      throw error instanceof ModelUnavailableError
        ? error
        : new ModelUnavailableError(this.#unavailable, { cause: error });
    } finally {
      this.#loading = undefined;
    }
  }

  async #become(model: LoadedModel): Promise<void> {
    const held: Held = { model, loans: 0 };
    this.#held.add(held);
    if (this.#closing.signal.aborted) {
      await this.#dispose(held);
      this.#throwIfClosed();
    }
    const replaced = this.#current;
    this.#current = held;
    this.#state = { state: 'ready' };
    this.answers = true;
    if (replaced) void this.#retire(replaced);
  }

  /** No room for both: requests wait from now on; when the old version has no more of them, the new one comes. */
  async #handOver(old: Held): Promise<void> {
    this.#current = undefined;
    this.#loading = this.#loadOnce(this.#retire(old));
    await this.#loading;
  }

  /** Disposes of a model as soon as no request has it. */
  async #retire(held: Held): Promise<void> {
    if (held.loans > 0) {
      held.idle ??= Promise.withResolvers();
      await held.idle.promise;
    }
    await this.#dispose(held);
  }

  #lend(held: Held): Loan {
    held.loans++;
    let ended = false;
    const end = () => {
      if (ended) return;
      ended = true;
      if (--held.loans === 0) held.idle?.resolve();
      this.#leave();
    };
    return { model: held.model, end };
  }

  #leave(): void {
    this.usedAt = performance.now();
    if (--this.users === 0) this.#options.onIdle?.();
  }

  #fail(error: Error): void {
    this.#current = undefined;
    if (this.#closing.signal.aborted) return;
    this.#state = { state: 'failed', reason: this.#unavailable };
    this.answers = false;
    this.#options.onFailure?.(error);
  }

  /** What failed may tell paths and addresses of the inside: that is for `onFailure`, not for clients. */
  get #unavailable(): string {
    return `Model ${this.name} could not be loaded; the server's log says why.`;
  }

  #throwIfClosed(): void {
    if (this.#closing.signal.aborted) throw new ModelUnavailableError('The server is shutting down.');
  }

  async #dispose(held: Held): Promise<void> {
    if (!this.#held.delete(held)) return;
    try {
      await held.model.engine[Symbol.asyncDispose]();
    } catch {
      // It failed already, and nothing uses it any more.
    }
    this.#options.onUnload?.(held.model);
  }
}

async function canGenerate({ engine }: LoadedModel): Promise<boolean> {
  const sampling = { temperature: 0, topP: 1, topK: 0, minP: 0 };
  const request: GenerationRequest = { prompt: [0], maxTokens: 1, sampling, stopTokens: [], delivery: 'end' };
  try {
    for await (const chunk of engine.generate(request)) if (chunk.finish) return true;
  } catch {}
  return false;
}
