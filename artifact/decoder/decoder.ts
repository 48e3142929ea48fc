import { Session } from '../onnxruntime/session.ts';
import { Tensor } from '../onnxruntime/tensor.ts';
import type { DecoderOptions } from './decoder-options.ts';
import { DecodingSteps } from './decoding-steps.ts';
import { graphTensors, type ReadTensors, readerTensors } from './graph-tensors.ts';
import { KvCache } from './kv-cache.ts';

/** The model: runs tokens of sequences on top of their caches and gives their logits. */
export class Decoder implements Disposable {
  readonly #session: Session;
  /** Of the graph that reads prompts by weights of their own. */
  readonly #reader: Session | undefined;
  readonly #options: DecoderOptions;
  readonly #steps = new Map<KvCache, DecodingSteps>();

  /** @throws FoldgateError where a graph cannot be opened */
  constructor(options: DecoderOptions) {
    this.#session = new Session(options.graphPath, options);
    this.#options = options;
    if (options.readerPath === undefined) return;
    try {
      this.#reader = new Session(options.readerPath, options);
    } catch (error) {
      this.#session[Symbol.dispose]();
      throw error;
    }
  }

  /** Whether prompts are read by weights of their own, which give no logits. */
  get readsApart(): boolean {
    return this.#reader !== undefined;
  }

  /** @param rows sequences that it holds */
  newCache(rows = 1): KvCache {
    return new KvCache(this.#options.cache, rows);
  }

  /** Gives a cache's memory back at once; it serves no sequence any more. */
  release(cache: KvCache): void {
    this.#steps.get(cache)?.[Symbol.dispose]();
    this.#steps.delete(cache);
    cache[Symbol.dispose]();
  }

  /**
   * Appends tokens to one sequence.
   * @returns the logits after the last one, [vocabulary], valid until the next call
   */
  run(cache: KvCache, tokens: ArrayLike<number>, row = 0): Float32Array {
    const count = tokens.length;
    if (count === 1) return this.step(cache, [row], tokens)[0]!;
    return this.#once(cache, tokens, row, [count - 1]);
  }

  /** Appends tokens to one sequence whose logits nobody wants: by the weights for prompts, where there are any. */
  read(cache: KvCache, tokens: ArrayLike<number>, row = 0): void {
    if (!this.#reader) {
      this.run(cache, tokens, row);
      return;
    }
    const { inputs, outputs } = readerTensors(cache.binding(row, 1), readTensors(cache, tokens, row));
    this.#reader.run(inputs, outputs);
    cache.lengths[row]! += tokens.length;
  }

  /** Appends a prompt to a cache of one sequence, read as prompts are. @returns the logits after its last token */
  prompt(cache: KvCache, tokens: Int32Array | number[]): Float32Array {
    if (!this.#reader || tokens.length < 2) return this.run(cache, tokens);
    this.read(cache, tokens.slice(0, -1));
    return this.run(cache, tokens.slice(-1));
  }

  /** Appends tokens to one sequence. @returns the logits after each, [tokens, vocabulary], new memory */
  runAll(cache: KvCache, tokens: ArrayLike<number>, row = 0): Float32Array {
    const rows = Array.from({ length: tokens.length }, (_, i) => i);
    return this.#once(cache, tokens, row, rows);
  }

  /**
   * Appends one token to each of several sequences.
   * @param rows of the cache, ascending. Those between the first and the last that are left out are computed
   * all the same, to no effect: their next token's place in the cache is overwritten.
   * @param tokens one for each of the rows
   * @returns the logits of each, [vocabulary], valid until the next call
   */
  step(cache: KvCache, rows: readonly number[], tokens: ArrayLike<number>): Float32Array[] {
    return this.#stepsOf(cache).run(rows, tokens);
  }

  /**
   * Appends a few tokens to one sequence, of which the last ones may be taken back by lowering its length.
   * @param tokens up to `maxVerified`
   * @returns the logits after each, [vocabulary], valid until the next call
   */
  verify(cache: KvCache, tokens: readonly number[], row = 0): Float32Array[] {
    return this.#stepsOf(cache).verify(row, tokens);
  }

  #stepsOf(cache: KvCache): DecodingSteps {
    let steps = this.#steps.get(cache);
    if (!steps) {
      steps = new DecodingSteps(this.#session, cache, this.#options.vocabularySize);
      this.#steps.set(cache, steps);
    }
    return steps;
  }

  #once(cache: KvCache, tokens: ArrayLike<number>, row: number, wanted: number[]): Float32Array {
    const { vocabularySize } = this.#options;
    const logits = new Float32Array(wanted.length * vocabularySize);
    const { inputs, outputs } = graphTensors(cache.binding(row, 1), {
      ...readTensors(cache, tokens, row),
      wanted: new Tensor(BigInt64Array.from(wanted, BigInt), [wanted.length]),
      logits: new Tensor(logits, [wanted.length, vocabularySize]),
    });
    this.#session.run(inputs, outputs);
    cache.lengths[row]! += tokens.length;
    return logits;
  }

  [Symbol.dispose](): void {
    for (const steps of this.#steps.values()) steps[Symbol.dispose]();
    this.#steps.clear();
    this.#session[Symbol.dispose]();
    this.#reader?.[Symbol.dispose]();
  }
}

/** Of tokens that come after those in the row. */
function readTensors(cache: KvCache, tokens: ArrayLike<number>, row: number): ReadTensors {
  const after = cache.lengths[row]! + tokens.length;
  return {
    tokens: new Tensor(Int32Array.from(tokens), [1, tokens.length]),
    lastToken: new Tensor(Int32Array.of(after - 1), [1]),
    totalLength: new Tensor(Int32Array.of(after), []),
  };
}
