import type { Manifest } from '../manifest.ts';
import {
  float32,
  type InferenceSession,
  int32,
  openSession,
  type SessionOptions,
  Tensor,
} from '../onnxruntime.ts';
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
    this.#row[0] = BigInt(tokens.length - 1);
    await this.#run(cache, tokens, this.#step.logits_rows!, this.#logitsTensor);
    return this.#logits;
  }

  /** Appends tokens to the sequence. @returns the logits after each, [tokens, vocabulary], new memory */
  async runAll(cache: KvCache, tokens: ArrayLike<number>): Promise<Float32Array> {
    const count = tokens.length;
    const rows = new Tensor(
      'int64',
      BigInt64Array.from({ length: count }, (_, row) => BigInt(row)),
      [count],
    );
    const logits = new Float32Array(count * this.#logits.length);
    await this.#run(cache, tokens, rows, float32(logits, [count, this.#logits.length]));
    return logits;
  }

  async #run(cache: KvCache, tokens: ArrayLike<number>, rows: Tensor, logits: Tensor): Promise<void> {
    const total = cache.length + tokens.length;
    this.#lastToken[0] = total - 1;
    this.#totalLength[0] = total;
    let inputs = this.#step;
    if (tokens.length === 1) this.#oneToken[0] = tokens[0]!;
    else inputs = { ...inputs, input_ids: int32(Int32Array.from(tokens), [1, tokens.length]) };
    await this.#session.run({ ...inputs, ...cache.past, logits_rows: rows }, { logits, ...cache.present });
    cache.length = total;
  }

  async release(): Promise<void> {
    await this.#session.release();
  }
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
