import type { Decoder } from '../../artifact/decoder/decoder.ts';
import type { KvCache } from '../../artifact/decoder/kv-cache.ts';
import { betweenSteps } from '../forward/between-steps.ts';

/** Logits in memory at a time, in numbers: 64 MB. */
const maxLogits = 16 * 2 ** 20;

/**
 * Runs one sequence after the other through a folded model. What the next has in common with the one before,
 * as the choices of one question have, is not computed again.
 */
export class CachedRun {
  readonly #decoder: Decoder;
  readonly #cache: KvCache;
  readonly #vocabularySize: number;
  /** Tokens in the cache. */
  #seen: Int32Array = new Int32Array();

  constructor(decoder: Decoder, vocabularySize: number) {
    this.#decoder = decoder;
    this.#cache = decoder.newCache();
    this.#vocabularySize = vocabularySize;
  }

  /** @param visit takes the logits after each token from the one at `first` on, its place counted from there */
  async run(
    tokens: Int32Array,
    first: number,
    visit: (place: number, logits: Float32Array) => void,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    let start = 0;
    while (start < first && tokens[start] === this.#seen[start]) start++;
    this.#cache.length = start;
    this.#seen = tokens.subarray(0, start); // should this run be broken off
    if (start < first) {
      await betweenSteps(signal);
      this.#decoder.read(this.#cache, tokens.subarray(start, first));
    }
    const step = Math.max(1, Math.floor(maxLogits / this.#vocabularySize));
    for (let from = first; from < tokens.length; from += step) {
      await betweenSteps(signal);
      const part = tokens.subarray(from, from + step);
      const logits = this.#decoder.runAll(this.#cache, part);
      for (let t = 0; t < part.length; t++) {
        visit(from - first + t, logits.subarray(t * this.#vocabularySize, (t + 1) * this.#vocabularySize));
      }
    }
    this.#seen = tokens;
  }
}
