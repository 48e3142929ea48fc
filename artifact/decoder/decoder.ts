import type { Manifest } from '../manifest.ts';
import { type Binding, Session, type SessionOptions } from '../onnxruntime/session.ts';
import { Tensor } from '../onnxruntime/tensor.ts';
import { type CacheShape, KvCache } from './kv-cache.ts';

export interface DecoderOptions extends SessionOptions {
  graphPath: string;
  cache: CacheShape;
  vocabularySize: number;
}

/** What the decoder needs to know of a model. */
export function decoderOptions(manifest: Manifest, graphPath: string, capacity: number): DecoderOptions {
  const { vocabularySize, kvHeads, headSize } = manifest.dimensions;
  return {
    graphPath,
    vocabularySize,
    cache: { layers: manifest.layers.length, kvHeads, headSize, capacity },
  };
}

/** The model: runs tokens of one sequence on top of its cache and gives their logits. */
export class Decoder implements Disposable {
  readonly #session: Session;
  readonly #cacheShape: CacheShape;
  /** [1, vocabulary]; overwritten by each step. */
  readonly #logits: Tensor<Float32Array>;
  // Memory whose place stays and whose values change: a decoding step allocates and binds nothing.
  readonly #token = new Tensor(new Int32Array(1), [1, 1]);
  readonly #row = new Tensor(new BigInt64Array(1), [1]);
  readonly #lastToken = new Tensor(new Int32Array(1), [1]);
  readonly #totalLength = new Tensor(new Int32Array(1), []);
  /** The bindings of a decoding step, by cache. */
  readonly #steps = new Map<KvCache, Binding>();

  /** @throws FoldgateError where the graph cannot be opened */
  constructor(options: DecoderOptions) {
    this.#session = new Session(options.graphPath, options);
    this.#cacheShape = options.cache;
    this.#logits = new Tensor(new Float32Array(options.vocabularySize), [1, options.vocabularySize]);
  }

  newCache(): KvCache {
    return new KvCache(this.#cacheShape);
  }

  /** Gives a cache's memory back at once; it serves no sequence any more. */
  release(cache: KvCache): void {
    this.#steps.get(cache)?.[Symbol.dispose]();
    this.#steps.delete(cache);
    cache[Symbol.dispose]();
  }

  /**
   * Appends tokens to the sequence.
   * @returns the logits after the last one, [vocabulary], valid until the next call
   */
  run(cache: KvCache, tokens: ArrayLike<number>): Float32Array {
    const count = tokens.length;
    if (count === 1) {
      this.#token.data[0] = tokens[0]!;
      this.#advance(cache, 1, this.#step(cache));
    } else {
      const row = new Tensor(BigInt64Array.of(BigInt(count - 1)), [1]);
      this.#once(cache, tokens, row, this.#logits);
    }
    return this.#logits.data;
  }

  /** Appends tokens to the sequence. @returns the logits after each, [tokens, vocabulary], new memory */
  runAll(cache: KvCache, tokens: ArrayLike<number>): Float32Array {
    const count = tokens.length;
    const vocabularySize = this.#logits.data.length;
    const rows = new Tensor(
      BigInt64Array.from({ length: count }, (_, row) => BigInt(row)),
      [count],
    );
    const logits = new Tensor(new Float32Array(count * vocabularySize), [count, vocabularySize]);
    this.#once(cache, tokens, rows, logits);
    return logits.data;
  }

  #once(cache: KvCache, tokens: ArrayLike<number>, rows: Tensor, logits: Tensor): void {
    const ids = new Tensor(Int32Array.from(tokens), [1, tokens.length]);
    const binding = this.#bind(cache, ids, rows, logits);
    try {
      this.#advance(cache, tokens.length, binding);
    } finally {
      binding[Symbol.dispose]();
    }
  }

  #advance(cache: KvCache, count: number, binding: Binding): void {
    const total = cache.length + count;
    this.#lastToken.data[0] = total - 1;
    this.#totalLength.data[0] = total;
    binding.run();
    cache.length = total;
  }

  #step(cache: KvCache): Binding {
    let binding = this.#steps.get(cache);
    if (!binding) {
      // The logits of the only token, row 0.
      binding = this.#bind(cache, this.#token, this.#row, this.#logits);
      this.#steps.set(cache, binding);
    }
    return binding;
  }

  #bind(cache: KvCache, ids: Tensor, rows: Tensor, logits: Tensor): Binding {
    const inputs = {
      input_ids: ids,
      logits_rows: rows,
      seqlens_k: this.#lastToken,
      total_sequence_length: this.#totalLength,
      ...cache.past,
    };
    return this.#session.bind(inputs, { logits, ...cache.present });
  }

  [Symbol.dispose](): void {
    for (const binding of this.#steps.values()) binding[Symbol.dispose]();
    this.#steps.clear();
    this.#session[Symbol.dispose]();
  }
}
