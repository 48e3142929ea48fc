import type { Binding, Session } from '../onnxruntime/session.ts';
import { Tensor } from '../onnxruntime/tensor.ts';
import { graphTensors } from './graph-tensors.ts';
import type { KvCache } from './kv-cache.ts';

/** Tokens of one sequence that a step may have for each of which logits are wanted. */
export const maxVerified = 8;

/**
 * Steps of one token a sequence over a cache's rows, and of a few tokens of one sequence. Memory whose place stays
 * and whose values change: rows that were together once are bound already, so a step allocates next to nothing.
 */
export class DecodingSteps implements Disposable {
  readonly #session: Session;
  readonly #cache: KvCache;
  readonly #spans = new Map<string, Span>();
  /** [wanted rows, vocabulary]; overwritten by each step. Its pages are taken only as rows are wanted. */
  readonly #logits: Float32Array[] = [];
  readonly #logitsTensors: Tensor[] = [];
  readonly #wanted: Tensor<BigInt64Array>[] = [];

  constructor(session: Session, cache: KvCache, vocabularySize: number) {
    this.#session = session;
    this.#cache = cache;
    const most = Math.max(cache.rows, maxVerified);
    const all = new Float32Array(most * vocabularySize);
    for (let i = 0; i < most; i++) {
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
    const span = this.#span(first, rows.at(-1)! - first + 1, 1);
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

  /** As `Decoder.verify`. */
  verify(row: number, tokens: readonly number[]): Float32Array[] {
    const { lengths } = this.#cache;
    const count = tokens.length;
    const span = this.#span(row, 1, count);
    span.tokens.data.set(tokens);
    span.lastToken.data[0] = lengths[row]! + count - 1;
    span.totalLength.data[0] = lengths[row]! + count;
    const wanted = this.#wanted[count - 1]!.data;
    for (let i = 0; i < count; i++) wanted[i] = BigInt(i);
    span.binding.run();
    lengths[row]! += count;
    return this.#logits;
  }

  /** Neighbouring rows of the cache as a batch. @param tokens of each */
  #span(first: number, count: number, tokens: number): Span {
    const key = `${first}+${count}x${tokens}`;
    let span = this.#spans.get(key);
    if (!span) {
      span = this.#bind(first, count, tokens);
      this.#spans.set(key, span);
    }
    return span;
  }

  #bind(first: number, count: number, tokensEach: number): Span {
    // A token that every vocabulary has: rows that are left out of a step run it to no effect.
    const size = count * tokensEach;
    const tokens = new Tensor(new Int32Array(size), [count, tokensEach]);
    const lastToken = new Tensor(new Int32Array(count), [count]);
    const totalLength = new Tensor(new Int32Array(1), []);
    const { inputs, outputs } = graphTensors(this.#cache.binding(first, count), {
      tokens,
      wanted: this.#wanted[size - 1]!,
      lastToken,
      totalLength,
      logits: this.#logitsTensors[size - 1]!,
    });
    return {
      count,
      tokens,
      lastToken,
      totalLength,
      wanted: size,
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
  /** [rows, tokens] */
  tokens: Tensor<Int32Array>;
  /** [rows]: the place of each one's new token. */
  lastToken: Tensor<Int32Array>;
  totalLength: Tensor<Int32Array>;
  /** How many rows' logits it is bound for. */
  wanted: number;
}
