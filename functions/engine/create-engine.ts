import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type CacheType, cacheForm, decoderOptions } from '../../artifact/decoder/decoder-options.ts';
import type { Manifest } from '../../artifact/manifest.ts';
import { usualPrefixBytes } from '../../artifact/served-memory.ts';
import {
  type Engine,
  EngineError,
  type EngineLimits,
  type EnginePrefixes,
  type EngineStats,
  type GenerationChunk,
  type GenerationRequest,
  type GrammarSource,
  type PrefixRoom,
} from './engine.ts';
import { Grammars, type OpenConstraint } from './grammar/grammars.ts';
import type { Vocabulary } from './grammar/vocabulary.ts';
import type { FromWorker, SequenceResult, ToWorker, WorkerOptions } from './messages.ts';

export interface EngineOptions {
  /** The folded model's graph, with its blobs beside it. */
  graphPath: string;
  manifest: Manifest;
  /** Resolves when the graph and its weights are on the disk; the thread starts before. @default they are */
  files?: Promise<void> | undefined;
  /** Called when the thread has ended, however that came, and needs the model's files no more. */
  onEnd?: (() => void) | undefined;
  /** Sequences that run at once; others wait. @default 8 */
  slots?: number;
  /** Bytes that keys and values of past sequences may take, for prompts that begin alike. @default 128 MB */
  prefixCacheBytes?: number;
  /** What keys and values are kept in: int8 takes a quarter of the memory. @default 'float32' */
  kvCache?: CacheType;
  /** @default the cores this process may use */
  threads?: number;
  /** Idle threads spin for the next operator; turn off where others need the cores. @default true */
  spinning?: boolean;
  /** Tokens of prompt and completion together. @default the model's own */
  contextLength?: number;
  /** A lone sequence's next tokens are guessed from its text, where that pays. @default true */
  speculation?: boolean;
  /**
   * A quicker model of the same vocabulary, which guesses a lone sequence's next tokens where that pays. `files` speaks of
   * its files too. @default none
   */
  draft?: { graphPath: string; manifest: Manifest } | undefined;
  /** Told why it guesses no more; the engine goes on without. */
  onDraftFailure?: ((error: EngineError) => void) | undefined;
  /** What grammars need; asked for when the first one comes. @default none: there are no grammars */
  vocabulary?: () => Promise<Vocabulary>;
}

/** Rows of the cache take memory only as tokens fill them. */
const defaultSlots = 8;

/** What the prefixes of an engine with these options have to be like, and what they may take. */
export function prefixRoom(options: EngineOptions): PrefixRoom {
  const { decoder, prefixCacheBytes: budgetBytes } = workerOptionsOf(options);
  return { form: cacheForm(decoder.cache), budgetBytes };
}

function workerOptionsOf(options: EngineOptions): WorkerOptions {
  const { manifest, draft, contextLength = Infinity } = options;
  const decoderOf = (manifest: Manifest, graphPath: string, kvCache?: CacheType) => ({
    ...decoderOptions(
      manifest,
      graphPath,
      Math.min(contextLength, manifest.dimensions.contextLength),
      kvCache,
    ),
    threads: options.threads ?? availableParallelism(),
    spinning: options.spinning ?? true,
    sharedThreads: true,
  });
  return {
    slots: options.slots ?? defaultSlots,
    prefixCacheBytes: options.prefixCacheBytes ?? usualPrefixBytes,
    speculation: options.speculation ?? true,
    decoder: decoderOf(manifest, options.graphPath, options.kvCache),
    draft: draft && decoderOf(draft.manifest, draft.graphPath),
  };
}

/**
 * Starts a worker thread with the model and waits until it can answer.
 * @throws EngineError where the graph cannot be opened; UsageError for an int8 cache of a model without scales for it;
 * what `files` was rejected with
 */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const workerOptions = workerOptionsOf(options);
  const { vocabularySize, cache } = workerOptions.decoder;
  const limits = { contextLength: cache.capacity, vocabularySize };
  const engine = new WorkerEngine(workerOptions, limits);
  if (options.vocabulary) engine.grammars = new Grammars(options.vocabulary, vocabularySize);
  void engine.exited.then(options.onEnd);
  engine.onDraftFailure = options.onDraftFailure;
  engine.ready.catch(() => {}); // told of below, if the files come at all
  try {
    await options.files;
    engine.open();
    await engine.ready;
    return engine;
  } catch (error) {
    await engine[Symbol.asyncDispose]();
    throw error;
  }
}

/** The thread's own objects are a few arrays a step; V8 would let 48 MB of garbage gather. */
const maxYoungGenerationSizeMb = 2;

/** Milliseconds in which the thread should see that it is to end: longer than a chunk of a prompt takes. */
const closeDeadlineMs = 10_000;

class WorkerEngine implements Engine, EnginePrefixes {
  readonly limits: EngineLimits;
  readonly ready: Promise<void>;
  grammars: Grammars | undefined;
  onDraftFailure: EngineOptions['onDraftFailure'];
  readonly #worker: Worker;
  readonly exited: Promise<void>;
  readonly #streams = new Map<number, ChunkStream>();
  readonly #prompts = new WeakMap<number[], Int32Array>();
  readonly #statsAsked = new Map<number, PromiseWithResolvers<EngineStats>>();
  /** Told when a prefix is there no more. */
  readonly #kept = new Map<number, () => void>();
  #nextId = 0;
  #failure: EngineError | undefined;

  constructor(options: WorkerOptions, limits: EngineLimits) {
    this.limits = limits;
    // The published package holds JavaScript, a checkout TypeScript.
    const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js';
    this.#worker = new Worker(new URL(file, import.meta.url), {
      workerData: options,
      resourceLimits: { maxYoungGenerationSizeMb },
    });
    this.exited = new Promise((resolve) => this.#worker.on('exit', () => resolve()));
    this.ready = new Promise((resolve, reject) => {
      this.#worker.on('message', (message: FromWorker) => {
        if (message.type === 'ready') resolve();
        else if (message.type === 'failed')
          reject(this.#fail(`The model could not be opened: ${message.message}`));
        else if (message.type === 'stats') this.#statsAsked.get(message.id)?.resolve(message.stats);
        else if (message.type === 'dropped') this.#dropped(message.id);
        else if (message.type === 'draft failed')
          this.onDraftFailure?.(new EngineError(`The model that drafts failed: ${message.message}`));
        else this.#deliver(message.results);
      });
      this.#worker.on('error', (error) => reject(this.#fail(`The engine's thread failed: ${error.message}`)));
      this.#worker.on('exit', (code) => reject(this.#fail(`The engine's thread ended with code ${code}.`)));
    });
  }

  open(): void {
    this.#post({ type: 'open' });
  }

  async *generate(request: GenerationRequest, signal?: AbortSignal): AsyncGenerator<GenerationChunk> {
    const { contextLength } = this.limits;
    if (request.prompt.length === 0) throw new RangeError('The prompt has no tokens.');
    const room = contextLength - request.prompt.length;
    if (room < 1) {
      throw new RangeError(
        `The prompt has ${request.prompt.length} tokens; the context holds ${contextLength}.`,
      );
    }
    signal?.throwIfAborted();
    if (this.#failure) throw this.#failure;
    const { grammar, ...unconstrained } = request;
    const maxTokens = Math.min(request.maxTokens, room);
    const constraint = grammar && (await this.#constraint(grammar, maxTokens, signal));

    const id = this.#nextId++;
    const stream = new ChunkStream();
    this.#streams.set(id, stream);
    const abort = () => stream.fail(signal!.reason);
    signal?.addEventListener('abort', abort, { once: true });
    this.#post({
      type: 'generate',
      id,
      request: {
        ...unconstrained,
        prompt: this.#sharedPrompt(request.prompt),
        maxTokens,
        ...(constraint && { constraint: constraint.handle }),
      },
    });
    let finished = false;
    try {
      while (!finished) {
        const chunk = await stream.next();
        finished = chunk.finish !== undefined;
        yield chunk;
      }
    } finally {
      signal?.removeEventListener('abort', abort);
      this.#streams.delete(id);
      if (!finished) this.#post({ type: 'cancel', id });
      constraint?.[Symbol.dispose]();
    }
  }

  async #constraint(
    grammar: GrammarSource,
    maxTokens: number,
    signal?: AbortSignal,
  ): Promise<OpenConstraint> {
    if (!this.grammars) throw new EngineError('This engine has no vocabulary, which grammars need.');
    const constraint = await this.grammars.open(grammar, maxTokens, signal);
    if (!this.#failure) return constraint;
    constraint[Symbol.dispose]();
    throw this.#failure;
  }

  get prefixes(): EnginePrefixes {
    return this;
  }

  keep(tokens: Int32Array, memory: ArrayBuffer, onDrop: () => void): void {
    const id = this.#nextId++;
    this.#kept.set(id, onDrop);
    this.#worker.postMessage({ type: 'prefix', id, tokens, memory } satisfies ToWorker, [memory]);
  }

  #dropped(id: number): void {
    this.#kept.get(id)?.();
    this.#kept.delete(id);
  }

  async stats(): Promise<EngineStats> {
    if (this.#failure) throw this.#failure;
    const id = this.#nextId++;
    const asked = Promise.withResolvers<EngineStats>();
    this.#statsAsked.set(id, asked);
    this.#post({ type: 'stats', id });
    return asked.promise.finally(() => this.#statsAsked.delete(id));
  }

  /** The choices of one request have the same prompt: one copy of it serves all that wait and run. */
  #sharedPrompt(prompt: number[]): Int32Array {
    let shared = this.#prompts.get(prompt);
    if (!shared) {
      shared = new Int32Array(new SharedArrayBuffer(prompt.length * Int32Array.BYTES_PER_ELEMENT));
      shared.set(prompt);
      this.#prompts.set(prompt, shared);
    }
    return shared;
  }

  #deliver(results: readonly SequenceResult[]): void {
    for (const result of results) {
      const stream = this.#streams.get(result.id); // gone where it was cancelled meanwhile
      if ('chunk' in result) stream?.push(result.chunk);
      else stream?.fail(new EngineError(`The model failed: ${result.failure}`));
    }
  }

  #fail(message: string): EngineError {
    this.#failure ??= new EngineError(message);
    for (const stream of this.#streams.values()) stream.fail(this.#failure);
    for (const asked of this.#statsAsked.values()) asked.reject(this.#failure);
    return this.#failure;
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#fail('The engine was closed.');
    this.grammars?.[Symbol.dispose]();
    this.#post({ type: 'close' });
    const deadline = Promise.withResolvers<void>();
    const timer = setTimeout(deadline.resolve, closeDeadlineMs);
    await Promise.race([this.exited, deadline.promise]);
    clearTimeout(timer);
    void this.#worker.terminate(); // where it did not hear: it is gone as soon as the runtime returns
  }
}

/** Chunks on their way from the worker's messages to the one loop that reads them. */
class ChunkStream {
  readonly #chunks: GenerationChunk[] = [];
  #failure: { error: unknown } | undefined;
  #wake: (() => void) | undefined;

  push(chunk: GenerationChunk): void {
    this.#chunks.push(chunk);
    this.#wake?.();
  }

  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake?.();
  }

  async next(): Promise<GenerationChunk> {
    while (this.#chunks.length === 0) {
      if (this.#failure) throw this.#failure.error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#chunks.shift()!;
  }
}
