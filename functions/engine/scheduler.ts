import { setImmediate as nextEvents } from 'node:timers/promises';
import type { Decoder } from '../../artifact/decoder/decoder.ts';
import type { KvCache } from '../../artifact/decoder/kv-cache.ts';
import type { GenerationChunk } from './engine.ts';
import { Constraint } from './grammar/constraint.ts';
import type { SharedRequest } from './messages.ts';
import { Sampler } from './sampling/sampler.ts';

/**
 * Prompt tokens between two turns of other sequences: bounds how long a long prompt stalls them, and the
 * runtime's scratch memory, which it keeps (a 0.5B model: 32 MB less than with 256).
 */
const prefillChunk = 128;

/**
 * Milliseconds between a stream's chunks, at least: to a reader continuous. Sending one takes 0.1 ms and more of
 * two threads, which a small model's step of less than a millisecond would feel.
 */
export const streamIntervalMs = 10;

/** Milliseconds that the thread waits for a mask, deaf, where all sequences need one that is not there yet. */
const maskWaitMs = 5;

/** Tokens up to which a finished sequence's cache serves the next one; a longer one's memory is given back. */
const spareCacheTokens = 2048;

export interface SchedulerCallbacks {
  onChunk(id: number, chunk: GenerationChunk): void;
  onError(id: number, error: Error): void;
}

/** What the scheduler needs of the model. */
export type SequenceDecoder = Pick<Decoder, 'newCache' | 'run' | 'release'>;

/** Runs sequences in turns: each gets one decoding step, or one chunk of its prompt, at a time. */
export class Scheduler {
  readonly #decoder: SequenceDecoder;
  readonly #vocabularySize: number;
  readonly #slots: number;
  readonly #callbacks: SchedulerCallbacks;
  readonly #waiting: Waiting[] = [];
  readonly #running: Sequence[] = [];
  /** Caches of finished sequences, for the next ones. */
  readonly #spareCaches: KvCache[] = [];
  #busy = false;

  constructor(
    decoder: SequenceDecoder,
    vocabularySize: number,
    slots: number,
    callbacks: SchedulerCallbacks,
  ) {
    this.#decoder = decoder;
    this.#vocabularySize = vocabularySize;
    this.#slots = slots;
    this.#callbacks = callbacks;
  }

  add(id: number, request: SharedRequest): void {
    this.#waiting.push({ id, request, queuedAt: performance.now() });
    if (!this.#busy) void this.#run();
  }

  /** A waiting sequence leaves at once, with its prompt's memory; a running one before its next step. */
  cancel(id: number): void {
    const place = this.#waiting.findIndex((waiting) => waiting.id === id);
    if (place >= 0) this.#waiting.splice(place, 1);
    for (const sequence of this.#running) if (sequence.id === id) sequence.cancelled = true;
  }

  /** Sequences that have no slot yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Whether sequences are at work. */
  get busy(): boolean {
    return this.#busy;
  }

  async #run(): Promise<void> {
    this.#busy = true;
    while (this.#admit()) {
      const able = this.#running.filter(({ constraint }) => constraint?.available ?? true);
      if (able.length === 0) this.#running[0]!.constraint!.wait(maskWaitMs);
      for (const sequence of able) {
        if (sequence.cancelled || this.#turn(sequence)) this.#leave(sequence);
        await nextEvents(); // cancellations and new requests are heard between any two steps
      }
    }
    this.#busy = false; // in the same breath as the last look for work: whoever adds next starts anew
  }

  #admit(): boolean {
    while (this.#running.length < this.#slots && this.#waiting.length > 0) {
      const waiting = this.#waiting.shift()!;
      try {
        // Its sampler's memory is a vocabulary's: taken only now that there is a slot.
        const { constraint: handle } = waiting.request;
        const constraint = handle && new Constraint(handle);
        const sampler = new Sampler(waiting.request, this.#vocabularySize, constraint);
        this.#running.push(new Sequence(waiting, sampler, constraint));
      } catch (error) {
        this.#callbacks.onError(waiting.id, error as Error);
      }
    }
    return this.#running.length > 0;
  }

  /** @returns whether the sequence is done */
  #turn(sequence: Sequence): boolean {
    try {
      sequence.cache ??= this.#spareCaches.pop() ?? this.#decoder.newCache();
      const tokens = sequence.upcoming(prefillChunk);
      const logits = this.#decoder.run(sequence.cache, tokens);
      if (!sequence.advance(tokens.length) || sequence.cancelled) return false;
      const chunk = sequence.take(logits);
      if (chunk) this.#callbacks.onChunk(sequence.id, chunk);
      return chunk?.finish !== undefined;
    } catch (error) {
      this.#callbacks.onError(sequence.id, error as Error);
      return true;
    }
  }

  #leave(sequence: Sequence): void {
    this.#running.splice(this.#running.indexOf(sequence), 1);
    const { cache } = sequence;
    if (!cache) return;
    if (cache.length > spareCacheTokens) {
      this.#decoder.release(cache);
    } else {
      cache.length = 0;
      this.#spareCaches.push(cache);
    }
  }
}

interface Waiting {
  id: number;
  request: SharedRequest;
  queuedAt: number;
}

/** One request's tokens and how far it has come. */
class Sequence {
  readonly id: number;
  cancelled = false;
  cache: KvCache | undefined;
  readonly constraint: Constraint | undefined;
  readonly #request: SharedRequest;
  readonly #sampler: Sampler;
  readonly #stopTokens: Set<number>;
  /** The prompt, or the last token made. */
  #pending: number[] | Int32Array;
  /** How many of them the model has seen. */
  #seen = 0;
  #made: number[] = [];
  #count = 0;
  #deliveredAt = -Infinity;
  readonly #queuedAt: number;
  #startedAt: number | undefined;
  #prefilledAt: number | undefined;

  constructor({ id, request, queuedAt }: Waiting, sampler: Sampler, constraint?: Constraint) {
    this.id = id;
    this.constraint = constraint;
    this.#queuedAt = queuedAt;
    this.#request = request;
    this.#sampler = sampler;
    this.#stopTokens = new Set(request.stopTokens);
    this.#pending = request.prompt;
  }

  upcoming(limit: number): number[] | Int32Array {
    this.#startedAt ??= performance.now();
    return this.#pending.slice(this.#seen, this.#seen + limit);
  }

  /** @returns whether all pending tokens have been seen, so that a new one can be made */
  advance(tokens: number): boolean {
    this.#seen += tokens;
    return this.#seen === this.#pending.length;
  }

  /** Makes the next token. @returns what there is to deliver now */
  take(logits: Float32Array): GenerationChunk | undefined {
    this.#prefilledAt ??= performance.now();
    const token = this.#sampler.next(logits);
    const stopped = this.#stopTokens.has(token);
    if (!stopped) {
      this.#made.push(token);
      this.#count++;
      this.#pending = [token];
      this.#seen = 0;
    }
    const finish = stopped ? 'stop' : this.#count >= this.#request.maxTokens ? 'length' : undefined;
    if (finish)
      return { ...this.#takeMade(), finish, ...(stopped && { stopToken: token }), timings: this.#timings() };
    return this.#isDue() ? this.#takeMade() : undefined;
  }

  #takeMade(): GenerationChunk {
    const tokens = this.#made;
    this.#made = [];
    const logprobs = this.#sampler.takeLogprobs(tokens.length);
    return logprobs ? { tokens, logprobs } : { tokens };
  }

  #isDue(): boolean {
    const { delivery } = this.#request;
    if (delivery !== 'soon') return delivery === 'each';
    const now = performance.now();
    if (now - this.#deliveredAt < streamIntervalMs) return false;
    this.#deliveredAt = now;
    return true;
  }

  #timings() {
    return {
      queue: this.#startedAt! - this.#queuedAt,
      prefill: this.#prefilledAt! - this.#startedAt!,
      decode: performance.now() - this.#prefilledAt!,
    };
  }
}
