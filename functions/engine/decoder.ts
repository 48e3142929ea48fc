import {
  type InferenceSession,
  int32,
  openSession,
  type SessionOptions,
  Tensor,
} from '../../artifact/onnxruntime.ts';
import { type CacheShape, KvCache } from './kv-cache.ts';

export interface DecoderOptions extends SessionOptions {
  graphPath: string;
  cache: CacheShape;
  vocabularySize: number;
}

/** The model: runs tokens of one sequence on top of its cache and gives the logits of the last one. */
export class Decoder {
  readonly #session: InferenceSession;
  readonly #cacheShape: CacheShape;
  /** [vocabulary]; overwritten by each step. */
  readonly #logits: Float32Array;
  readonly #logitsTensor: Tensor;
  // Bindings whose memory stays and whose values change: a decoding step allocates nothing.
  readonly #oneToken = Int32Array.of(0);
  readonly #lastToken = Int32Array.of(0);
  readonly #totalLength = Int32Array.of(0);
  readonly #row = BigInt64Array.of(0n);
  readonly #step: Record<string, Tensor>;

  static async open(options: DecoderOptions): Promise<Decoder> {
    return new Decoder(await openSession(options.graphPath, options), options);
  }

  private constructor(session: InferenceSession, options: DecoderOptions) {
    this.#session = session;
    this.#cacheShape = options.cache;
    this.#logits = new Float32Array(options.vocabularySize);
    this.#logitsTensor = new Tensor('float32', this.#logits, [1, options.vocabularySize]);
    this.#step = {
      input_ids: int32(this.#oneToken, [1, 1]),
      seqlens_k: int32(this.#lastToken, [1]),
      total_sequence_length: int32(this.#totalLength, []),
      logits_rows: new Tensor('int64', this.#row, [1]),
    };
  }

  newCache(): KvCache {
    return new KvCache(this.#cacheShape);
  }

  /**
   * Appends tokens to the sequence.
   * @returns the logits after the last one, [vocabulary], valid until the next call
   */
  async run(cache: KvCache, tokens: ArrayLike<number>): Promise<Float32Array> {
    const total = cache.length + tokens.length;
    this.#lastToken[0] = total - 1;
    this.#totalLength[0] = total;
    this.#row[0] = BigInt(tokens.length - 1);
    let inputs = this.#step;
    if (tokens.length === 1) this.#oneToken[0] = tokens[0]!;
    else inputs = { ...inputs, input_ids: int32(Int32Array.from(tokens), [1, tokens.length]) };
    await this.#session.run({ ...inputs, ...cache.past }, { logits: this.#logitsTensor, ...cache.present });
    cache.length = total;
    return this.#logits;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
}
