import { setImmediate as nextEvents } from 'node:timers/promises';
import type { Decoder } from '../../artifact/decoder/decoder.ts';
import type { KvCache } from '../../artifact/decoder/kv-cache.ts';
import type { GenerationChunk, GenerationRequest } from './engine.ts';
import { Sampler } from './sampler.ts';

/** Prompt tokens between two turns of other sequences: bounds how long a long prompt stalls them. */
const prefillChunk = 256;

export interface SchedulerCallbacks {
  onChunk(id: number, chunk: GenerationChunk): void;
  onError(id: number, error: Error): void;
}

/** What the scheduler needs of the model. */
export type SequenceDecoder = Pick<Decoder, 'newCache' | 'run'>;

/** Runs sequences in turns: each gets one decoding step, or one chunk of its prompt, at a time. */
export class Scheduler {
  readonly #decoder: SequenceDecoder;
  readonly #vocabularySize: number;
  readonly #slots: number;
  readonly #callbacks: SchedulerCallbacks;
  readonly #waiting: Sequence[] = [];
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

  add(id: number, request: GenerationRequest): void {
    const sampler = new Sampler(request.sampling, this.#vocabularySize);
    this.#waiting.push(new Sequence(id, request, sampler));
    if (!this.#busy) void this.#run();
  }

  /** The sequence leaves before its next step. */
  cancel(id: number): void {
    for (const sequences of [this.#waiting, this.#running]) {
      for (const sequence of sequences) if (sequence.id === id) sequence.cancelled = true;
    }
  }

  async #run(): Promise<void> {
    this.#busy = true;
    while (this.#admit()) {
      // A copy: sequences leave while their turn is on.
      for (const sequence of [...this.#running]) {
        if (sequence.cancelled || this.#turn(sequence)) this.#leave(sequence);
        await nextEvents(); // cancellations and new requests are heard between any two steps
      }
    }
    this.#busy = false; // in the same breath as the last look for work: whoever adds next starts anew
  }

  #admit(): boolean {
    while (this.#running.length < this.#slots && this.#waiting.length > 0) {
      const sequence = this.#waiting.shift()!;
      if (!sequence.cancelled) this.#running.push(sequence);
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
    if (!sequence.cache) return;
    sequence.cache.length = 0;
    this.#spareCaches.push(sequence.cache);
  }
}

/** One request's tokens and how far it has come. */
class Sequence {
  readonly id: number;
  cancelled = false;
  cache: KvCache | undefined;
  readonly #request: GenerationRequest;
  readonly #sampler: Sampler;
  readonly #stopTokens: Set<number>;
  /** Tokens that the model has not seen yet: the rest of the prompt, or the last token made. */
  #pending: number[];
  #made: number[] = [];
  #count = 0;
  readonly #queuedAt = performance.now();
  #startedAt: number | undefined;
  #prefilledAt: number | undefined;

  constructor(id: number, request: GenerationRequest, sampler: Sampler) {
    this.id = id;
    this.#request = request;
    this.#sampler = sampler;
    this.#stopTokens = new Set(request.stopTokens);
    this.#pending = request.prompt;
  }

  upcoming(limit: number): number[] {
    this.#startedAt ??= performance.now();
    return this.#pending.length > limit ? this.#pending.slice(0, limit) : this.#pending;
  }

  /** @returns whether all pending tokens have been seen, so that a new one can be made */
  advance(tokens: number): boolean {
    this.#pending = this.#pending.slice(tokens);
    return this.#pending.length === 0;
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
    }
    const finish = stopped ? 'stop' : this.#count >= this.#request.maxTokens ? 'length' : undefined;
    if (finish) return { tokens: this.#made, finish, timings: this.#timings() };
    if (this.#request.delivery === 'end') return undefined;
    const tokens = this.#made;
    this.#made = [];
    return { tokens };
  }

  #timings() {
    return {
      queue: this.#startedAt! - this.#queuedAt,
      prefill: this.#prefilledAt! - this.#startedAt!,
      decode: performance.now() - this.#prefilledAt!,
    };
  }
}
