import type { TokenLogprobs } from '../engine.ts';
import type { VocabularyWeights } from './vocabulary-weights.ts';

/** Writes down what the model itself thought of each token taken, whatever is done to its logits afterwards. */
export class LogprobsRecord {
  readonly #topCount: number;
  readonly #weights: VocabularyWeights;
  /** The logits as they came, where others change them. */
  readonly #kept: Float32Array | undefined;
  #logits: Float32Array | undefined;
  #entries: TokenLogprobs[] = [];

  /**
   * @param topCount the likeliest tokens to name for each one taken
   * @param keepsLogits they are changed before the token is known
   */
  constructor(topCount: number, weights: VocabularyWeights, keepsLogits: boolean) {
    this.#topCount = topCount;
    this.#weights = weights;
    this.#kept = keepsLogits ? new Float32Array(weights.size) : undefined;
  }

  /** Before anything changes them. */
  see(logits: Float32Array): void {
    this.#kept?.set(logits);
    this.#logits = this.#kept ?? logits;
  }

  /** The token that was taken from the logits last seen. */
  add(token: number): void {
    this.#entries.push(logprobsOf(this.#logits!, token, this.#topCount, this.#weights));
  }

  /** What was not taken yet. */
  take(): TokenLogprobs[] {
    const entries = this.#entries;
    this.#entries = [];
    return entries;
  }
}

/**
 * @param logits [vocabulary]
 * @param weights takes them in
 */
export function logprobsOf(
  logits: Float32Array,
  token: number,
  topCount: number,
  weights: VocabularyWeights,
): TokenLogprobs {
  weights.weigh(logits, 1);
  const level = weights.highestLogit + Math.log(weights.total);
  const logprob = (id: number) => logits[id]! - level;
  const top = topCount > 0 ? weights.largest(topCount) : [];
  return { logprob: logprob(token), top: top.map((id) => ({ token: id, logprob: logprob(id) })) };
}
