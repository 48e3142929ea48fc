import type { Decoder } from '../../artifact/decoder/decoder.ts';
import { bytesPerToken } from '../../artifact/decoder/decoder-options.ts';
import type { KvCache, KvSnapshot } from '../../artifact/decoder/kv-cache.ts';

/** What the scheduler needs of the model: rows that each hold a sequence. */
export interface SequenceRows {
  readonly count: number;
  /** Of keys and values. */
  readonly bytesPerToken: number;
  /** Tokens in a row. */
  length(row: number): number;
  /** Whether prompts are read by weights of their own, which give no logits. */
  readonly readsApart: boolean;
  /** Appends tokens to a row whose logits nobody wants: by those weights, where there are any. */
  read(row: number, tokens: Int32Array): void;
  /** Appends tokens to a row. @returns the logits after the last one, valid until the next call */
  run(row: number, tokens: Int32Array): Float32Array;
  /** Appends tokens to a row. @returns the logits after each, [tokens, vocabulary], new memory */
  runAll(row: number, tokens: Int32Array): Float32Array;
  /** Appends a token to each of some rows, ascending. @returns the logits of each, valid until the next call */
  step(rows: readonly number[], tokens: readonly number[]): Float32Array[];
  /**
   * Appends a few tokens to a row, the last of which may be taken back.
   * @returns the logits after each, valid until the next call
   */
  verify(row: number, tokens: readonly number[]): Float32Array[];
  /** Takes back all tokens after the first `length`. */
  cut(row: number, length: number): void;
  /** Makes row `to` begin as the first `tokens` of row `from`. */
  copy(from: number, to: number, tokens: number): void;
  save(row: number): KvSnapshot;
  /** Makes the row begin as the first `tokens` of a snapshot. */
  restore(row: number, snapshot: KvSnapshot, tokens: number): void;
  /** Empties the row. */
  clear(row: number): void;
}

/** Rows of one cache of a decoder. */
export class ModelRows implements SequenceRows {
  readonly count: number;
  readonly bytesPerToken: number;
  readonly #decoder: Decoder;
  readonly #cache: KvCache;

  constructor(decoder: Decoder, count: number) {
    this.count = count;
    this.#decoder = decoder;
    this.#cache = decoder.newCache(count);
    this.bytesPerToken = bytesPerToken(this.#cache.shape);
  }

  get readsApart(): boolean {
    return this.#decoder.readsApart;
  }

  length(row: number): number {
    return this.#cache.lengths[row]!;
  }

  read(row: number, tokens: Int32Array): void {
    this.#decoder.read(this.#cache, tokens, row);
  }

  run(row: number, tokens: Int32Array): Float32Array {
    return this.#decoder.run(this.#cache, tokens, row);
  }

  runAll(row: number, tokens: Int32Array): Float32Array {
    return this.#decoder.runAll(this.#cache, tokens, row);
  }

  step(rows: readonly number[], tokens: readonly number[]): Float32Array[] {
    return this.#decoder.step(this.#cache, rows, tokens);
  }

  verify(row: number, tokens: readonly number[]): Float32Array[] {
    return this.#decoder.verify(this.#cache, tokens, row);
  }

  cut(row: number, length: number): void {
    this.#cache.lengths[row] = length;
  }

  copy(from: number, to: number, tokens: number): void {
    this.#cache.copy(from, to, tokens);
  }

  save(row: number): KvSnapshot {
    return this.#cache.save(row);
  }

  restore(row: number, snapshot: KvSnapshot, tokens: number): void {
    this.#cache.restore(row, snapshot, tokens);
  }

  clear(row: number): void {
    this.#cache.clear(row);
  }
}
