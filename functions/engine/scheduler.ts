import { setImmediate as nextEvents } from 'node:timers/promises';
import { promptChunk } from '../../artifact/decoder/decoder-options.ts';
import type { KvSnapshot } from '../../artifact/decoder/kv-cache.ts';
import type { EngineStats, GenerationChunk } from './engine.ts';
import { Constraint } from './grammar/constraint.ts';
import type { SharedRequest } from './messages.ts';
import type { SequenceRows } from './model-rows.ts';
import { commonLength, leastReuse, PrefixCache } from './prefix-cache.ts';
import { pairedChunk, readerChunk, reusable } from './prompt-chunks.ts';
import { Sampler } from './sampling/sampler.ts';
import type { VocabularyWeights } from './sampling/vocabulary-weights.ts';
import { Sequence, type WaitingRequest } from './sequence.ts';
import type { DraftModel } from './speculation/draft-model.ts';
import { noGuesses, Speculator } from './speculation/speculator.ts';

/** Milliseconds that the thread waits for a mask, deaf, where all sequences need one that is not there yet. */
const maskWaitMs = 5;

export interface SchedulerOptions {
  weights: VocabularyWeights;
  /** Bytes that keys and values of past sequences may take. @default 0 */
  prefixCacheBytes?: number;
  /** A lone sequence's next tokens are guessed from its text and checked several at once. @default true */
  speculation?: boolean;
  /** Guesses as well. @default none */
  draft?: DraftModel | undefined;
}

export interface SchedulerCallbacks {
  onChunk(id: number, chunk: GenerationChunk): void;
  onError(id: number, error: Error): void;
  /** Nothing is left to do. */
  onIdle?(): void;
}

/**
 * Continuous batching: sequences join and leave between any two steps. In turns, one chunk of one prompt is
 * read, and all sequences whose prompt has been read make a token in one step of the model.
 */
export class Scheduler {
  readonly #model: SequenceRows;
  readonly #weights: VocabularyWeights;
  readonly #callbacks: SchedulerCallbacks;
  readonly #prefixes: PrefixCache;
  readonly #speculator: Speculator | undefined;
  readonly #waiting: WaitingRequest[] = [];
  /** Oldest first. */
  readonly #running: Sequence[] = [];
  #turns = 0;
  #prefixQueries = 0;
  #prefixHits = 0;
  #storedPrefixHits = 0;
  #busy = false;

  constructor(model: SequenceRows, options: SchedulerOptions, callbacks: SchedulerCallbacks) {
    this.#model = model;
    this.#weights = options.weights;
    this.#prefixes = new PrefixCache(options.prefixCacheBytes ?? 0);
    if (options.speculation ?? true) this.#speculator = new Speculator(model, options.draft);
    this.#callbacks = callbacks;
  }

  add(id: number, request: SharedRequest): void {
    this.#waiting.push({ id, request, queuedAt: performance.now() });
    if (!this.#busy) void this.#run();
  }

  /** Keys and values that any prompt may begin with, whatever its salt. @param onDrop they made room for others */
  keep(tokens: Int32Array, snapshot: KvSnapshot, onDrop: () => void): void {
    this.#prefixes.addShared(tokens, snapshot, onDrop);
  }

  /** A waiting sequence leaves at once, with its prompt's memory; a running one before its next step. */
  cancel(id: number): void {
    const place = this.#waiting.findIndex((waiting) => waiting.id === id);
    if (place >= 0) this.#waiting.splice(place, 1);
    for (const sequence of this.#running) if (sequence.id === id) sequence.over = true;
  }

  /** Sequences that have no row yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Whether sequences are at work. */
  get busy(): boolean {
    return this.#busy;
  }

  /** All but the limit. */
  get stats(): Omit<EngineStats, 'kvLimitBytes'> {
    const { bytesPerToken } = this.#model;
    let kvTokens = this.#prefixes.bytes / bytesPerToken;
    for (const { row } of this.#running) kvTokens += this.#model.length(row);
    return {
      // One that is over has delivered its end; its row is cleared up in the next turn.
      running: this.#running.filter(({ over }) => !over).length,
      waiting: this.#waiting.length,
      kvTokens,
      kvBytes: kvTokens * bytesPerToken + (this.#speculator?.kvBytes ?? 0),
      prefixQueries: this.#prefixQueries,
      prefixHits: this.#prefixHits,
      storedPrefixHits: this.#storedPrefixHits,
      speculation: this.#speculator?.counts ?? noGuesses(),
    };
  }

  async #run(): Promise<void> {
    this.#busy = true;
    while (this.#admit()) {
      // Cancellations and new requests are heard between any two steps.
      const hasRead = this.#readPrompt();
      if (hasRead) await nextEvents();
      const hasMade = this.#makeTokens();
      if (!hasRead && !hasMade) this.#running[0]?.constraint?.wait(maskWaitMs);
      if (hasMade || !hasRead) await nextEvents();
    }
    this.#callbacks.onIdle?.();
    this.#busy = false; // in the same breath as the last look for work: whoever adds next starts anew
  }

  #admit(): boolean {
    for (const sequence of this.#running.filter(({ over }) => over)) this.#leave(sequence);
    while (this.#running.length < this.#model.count && this.#waiting.length > 0) {
      const waiting = this.#waiting.shift()!;
      try {
        // A sampler may hold a vocabulary's logits: taken only now that there is a row.
        const { constraint: handle } = waiting.request;
        const constraint = handle && new Constraint(handle);
        const sampler = new Sampler(waiting.request, this.#weights, constraint);
        this.#running.push(new Sequence(waiting, this.#freeRow()!, sampler, constraint));
      } catch (error) {
        this.#callbacks.onError(waiting.id, error as Error);
      }
    }
    return this.#running.length > 0;
  }

  /** @returns whether there was a prompt to read */
  #readPrompt(): boolean {
    const sequence = this.#nextPrompt();
    if (!sequence) return false;
    this.#guard(sequence, () => {
      const { row, prompt, promptLogprobs: report } = sequence;
      const read = this.#model.length(row);
      if (this.#readsApart(sequence)) {
        // The last token is for the step of single ones, which gives its logits.
        this.#model.read(row, prompt.subarray(read, read + readerChunk(prompt.length - 1 - read)));
        return;
      }
      const left = prompt.length - read;
      const end = read + (report ? Math.min(left, report.chunk, promptChunk) : pairedChunk(left));
      const tokens = prompt.subarray(read, end);
      const logits = report ? report.read(this.#model.runAll(row, tokens)) : this.#model.run(row, tokens);
      if (end === prompt.length) this.#take(sequence, logits);
    });
    return true;
  }

  /**
   * Whose prompt is read on. In turns the one with the least to read, so that short prompts need not wait for
   * long ones, and the oldest, so that a long one comes to its end however many short ones come.
   */
  #nextPrompt(): Sequence | undefined {
    const unread = this.#running.filter((sequence) => sequence.able && this.#unread(sequence) > 1);
    const reading = unread.filter(({ reused }) => reused !== undefined);
    if (this.#turns++ % 2 === 0) unread.sort((a, b) => this.#unread(a) - this.#unread(b));
    for (const sequence of unread) {
      const isReading = sequence.reused !== undefined || this.#begin(sequence, reading);
      // What was reused may have left one token, which the others' step reads too.
      if (isReading && this.#unread(sequence) > 1) return sequence;
    }
    return undefined;
  }

  /** Whether its prompt is read by weights that give no logits. */
  #readsApart({ promptLogprobs }: Sequence): boolean {
    return this.#model.readsApart && promptLogprobs === undefined;
  }

  /** Whether others may go on from what it read: its prompt was read as theirs are. */
  #isShareable(sequence: Sequence): boolean {
    return this.#readsApart(sequence) === this.#model.readsApart;
  }

  /** Tokens that the model has not seen yet. */
  #unread(sequence: Sequence): number {
    return sequence.length - this.#model.length(sequence.row);
  }

  /**
   * Starts a sequence from the longest beginning that is known of its prompt.
   * @param reading sequences whose prompts are being read; one that has more in common with this one is waited for
   * @returns whether it has begun
   */
  #begin(sequence: Sequence, reading: readonly Sequence[]): boolean {
    const { prompt, salt, row } = sequence;
    if (sequence.promptLogprobs) {
      sequence.begin(0); // needs the logits of every token
      return true;
    }
    const wanted = prompt.subarray(0, -1); // the last one's logits have to be computed
    const found = this.#prefixes.find(salt, wanted, leastReuse);
    const usable = (known: number) => reusable(known, prompt.length, this.#model.readsApart);
    let most = usable(found?.tokens ?? leastReuse - 1);
    let source: Sequence | undefined;
    for (const other of this.#running) {
      if (other.salt !== salt || other.reused === undefined || !this.#isShareable(other)) continue;
      const known = Math.min(commonLength(other.prompt, wanted), this.#model.length(other.row));
      if (usable(known) > most && known >= leastReuse) [source, most] = [other, usable(known)];
    }
    const better = (other: Sequence) =>
      other.salt === salt &&
      this.#isShareable(other) &&
      commonLength(other.prompt, wanted) >= most + leastReuse;
    if (reading.some(better)) return false;
    return this.#guard(sequence, () => {
      if (source) this.#model.copy(source.row, row, most);
      else if (found) this.#model.restore(row, found.snapshot, most);
      const reused = this.#model.length(row);
      sequence.begin(reused);
      this.#prefixQueries += prompt.length;
      this.#prefixHits += reused;
      if (!source && found?.isShared) this.#storedPrefixHits += reused;
    });
  }

  /** One step of all sequences that have a single token unread. @returns whether there were any */
  #makeTokens(): boolean {
    const ready = this.#running.filter((sequence) => sequence.able && this.#unread(sequence) === 1);
    for (const sequence of ready) if (sequence.reused === undefined) sequence.begin(0);
    if (ready.length === 0) return false;
    ready.sort((a, b) => a.row - b.row);
    this.#closeGap(ready);
    try {
      const [first] = ready as [Sequence];
      const take = (logits: Float32Array) => this.#goOn(first, logits);
      if (ready.length > 1 || !this.#speculator?.step(first, take)) this.#step(ready);
    } catch (error) {
      if (ready.length === 1) this.#fail(ready[0]!, error);
      // Whose fault it was shows when each goes alone.
      else for (const sequence of ready) this.#guard(sequence, () => this.#step([sequence]));
    }
    return true;
  }

  #step(sequences: readonly Sequence[]): void {
    const rows = sequences.map(({ row }) => row);
    const tokens = sequences.map((sequence) => sequence.token(sequence.length - 1));
    const started = performance.now();
    const logits = this.#model.step(rows, tokens);
    if (rows.length === 1) this.#speculator?.costs.measured(1, performance.now() - started);
    for (const [i, sequence] of sequences.entries()) this.#goOn(sequence, logits[i]!);
  }

  /** @returns whether the sequence wants more tokens */
  #goOn(sequence: Sequence, logits: Float32Array): boolean {
    return this.#guard(sequence, () => this.#take(sequence, logits)) && !sequence.over;
  }

  /** Moves the last sequence into a free row between the others: a step computes all rows from first to last. */
  #closeGap(ready: Sequence[]): void {
    const free = this.#freeRow(ready[0]!.row);
    const last = ready.at(-1)!;
    if (free === undefined || free > last.row) return;
    this.#model.copy(last.row, free, this.#model.length(last.row));
    this.#model.clear(last.row);
    last.row = free;
    ready.sort((a, b) => a.row - b.row);
  }

  /** The first row from `from` on that no sequence has. */
  #freeRow(from = 0): number | undefined {
    const taken = new Set(this.#running.map(({ row }) => row));
    for (let row = from; row < this.#model.count; row++) if (!taken.has(row)) return row;
    return undefined;
  }

  #take(sequence: Sequence, logits: Float32Array): void {
    if (sequence.over) return;
    const chunk = sequence.take(logits);
    if (!chunk) return;
    // Its row is cleared up before the next step: who waits for the text need not wait for that as well.
    if (chunk.finish) sequence.over = true;
    this.#callbacks.onChunk(sequence.id, chunk);
  }

  /** What fails in here is the sequence's own failure; the others go on. @returns whether it went well */
  #guard(sequence: Sequence, work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      this.#fail(sequence, error);
      return false;
    }
  }

  #fail(sequence: Sequence, error: unknown): void {
    this.#callbacks.onError(sequence.id, error as Error);
    this.#remove(sequence);
  }

  #remove(sequence: Sequence): void {
    const place = this.#running.indexOf(sequence);
    if (place < 0) return;
    this.#running.splice(place, 1);
    this.#model.clear(sequence.row);
  }

  /** Its row becomes free; what it computed is kept for those to come, where there is room. */
  #leave(sequence: Sequence): void {
    const { row, salt } = sequence;
    // The last token was not read, or, where it was guessed, may have been another one.
    const length = Math.min(this.#model.length(row), sequence.length - 1);
    this.#model.cut(row, length);
    const isWanted = length >= leastReuse && this.#isShareable(sequence);
    if (isWanted && this.#prefixes.holds(length * this.#model.bytesPerToken)) {
      const tokens = sequence.tokens(0, length);
      if (!this.#prefixes.covers(salt, tokens)) this.#keep(row, salt, tokens);
    }
    this.#remove(sequence);
  }

  #keep(row: number, salt: string, tokens: Int32Array): void {
    try {
      this.#prefixes.add(salt, tokens, this.#model.save(row));
    } catch {
      // No memory for it: the prompt's next reader computes it anew.
    }
  }
}
