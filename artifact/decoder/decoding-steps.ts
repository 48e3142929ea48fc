import type { Binding, Session } from '../onnxruntime/session.ts';
import { Tensor } from '../onnxruntime/tensor.ts';
import type { KvCache } from './kv-cache.ts';

/**
 * Steps of one token a sequence over a cache's rows. Memory whose place stays and whose values change:
 * rows that were together once are bound already, so a step allocates next to nothing.
 */
export class DecodingSteps implements Disposable {
  readonly #session: Session;
  readonly #cache: KvCache;
  readonly #spans = new Map<string, Span>();
  /** [wanted rows, vocabulary]; overwritten by each step. Its pages are taken only as rows are wanted. */
  readonly #logits: Float32Array[];
  readonly #logitsTensors: Tensor[] = [];
  readonly #wanted: Tensor<BigInt64Array>[] = [];

  constructor(session: Session, cache: KvCache, vocabularySize: number) {
    this.#session = session;
    this.#cache = cache;
    const all = new Float32Array(cache.rows * vocabularySize);
    this.#logits = [];
    for (let i = 0; i < cache.rows; i++) {
      this.#logits.push(all.subarray(i * vocabularySize, (i + 1) * vocabularySize));
      this.#logitsTensors.push(
        new Tensor(all.subarray(0, (i + 1) * vocabularySize), [i + 1, vocabularySize]),
      );
      this.#wanted.push(new Tensor(new BigInt64Array(i + 1), [i + 1]));
    }
  }

  /** As `Decoder.step`. */
  run(rows: readonly number[], tokens: ArrayLike<number>): Float32Array[] {
    const { lengths } = this.#cache;
    const first = rows[0]!;
    const span = this.#span(first, rows.at(-1)! - first + 1);
    let longest = 0;
    for (let i = 0; i < span.count; i++) {
      const length = lengths[first + i]!;
      span.lastToken.data[i] = length;
      longest = Math.max(longest, length + 1);
    }
    span.totalLength.data[0] = longest;
    const wanted = this.#wanted[rows.length - 1]!;
    for (const [i, row] of rows.entries()) {
      span.tokens.data[row - first] = tokens[i]!;
      wanted.data[i] = BigInt(row - first);
    }
    if (span.wanted !== rows.length) {
      span.binding.input('logits_rows', wanted);
      span.binding.output('logits', this.#logitsTensors[rows.length - 1]!);
      span.wanted = rows.length;
    }
    span.binding.run();
    for (const row of rows) lengths[row]!++;
    return this.#logits;
  }

  /** Neighbouring rows of the cache as a batch. */
  #span(first: number, count: number): Span {
    const key = `${first}+${count}`;
    let span = this.#spans.get(key);
    if (!span) {
      span = this.#bind(first, count);
      this.#spans.set(key, span);
    }
    return span;
  }

  #bind(first: number, count: number): Span {
    // A token that every vocabulary has: rows that are left out of a step run it to no effect.
    const tokens = new Tensor(new Int32Array(count), [count, 1]);
    const lastToken = new Tensor(new Int32Array(count), [count]);
    const totalLength = new Tensor(new Int32Array(1), []);
    const { past, present } = this.#cache.binding(first, count);
    const inputs = {
      input_ids: tokens,
      logits_rows: this.#wanted[count - 1]!,
      seqlens_k: lastToken,
      total_sequence_length: totalLength,
      ...past,
    };
    const outputs = { logits: this.#logitsTensors[count - 1]!, ...present };
    return {
      count,
      tokens,
      lastToken,
      totalLength,
      wanted: count,
      binding: this.#session.bind(inputs, outputs),
    };
  }

  [Symbol.dispose](): void {
    for (const { binding } of this.#spans.values()) binding[Symbol.dispose]();
    this.#spans.clear();
  }
}

interface Span {
  /** Rows in it. */
  count: number;
  binding: Binding;
  /** [rows, 1] */
  tokens: Tensor<Int32Array>;
  /** [rows]: the place of each one's new token. */
  lastToken: Tensor<Int32Array>;
  totalLength: Tensor<Int32Array>;
  /** How many rows' logits it is bound for. */
  wanted: number;
}
