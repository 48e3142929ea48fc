import type { TokenLogprobs } from '../engine.ts';
import { fastExp } from './fast-exp.ts';
import { argmax, largest } from './selection.ts';

/** Writes down what the model itself thought of each token taken, whatever is done to its logits afterwards. */
export class LogprobsRecord {
  readonly #topCount: number;
  /** The logits as they came, where others change them. */
  readonly #kept: Float32Array | undefined;
  #logits: Float32Array | undefined;
  #entries: TokenLogprobs[] = [];

  /**
   * @param topCount the likeliest tokens to name for each one taken
   * @param keepsLogits they are changed before the token is known
   */
  constructor(topCount: number, vocabularySize: number, keepsLogits: boolean) {
    this.#topCount = topCount;
    this.#kept = keepsLogits ? new Float32Array(vocabularySize) : undefined;
  }

  /** Before anything changes them. */
  see(logits: Float32Array): void {
    this.#kept?.set(logits);
    this.#logits = this.#kept ?? logits;
  }

  /** The token that was taken from the logits last seen. */
  add(token: number): void {
    this.#entries.push(logprobsOf(this.#logits!, token, this.#topCount));
  }

  /** What was not taken yet. */
  take(): TokenLogprobs[] {
    const entries = this.#entries;
    this.#entries = [];
    return entries;
  }
}

/** @param logits [vocabulary] */
export function logprobsOf(logits: Float32Array, token: number, topCount: number): TokenLogprobs {
  const highest = logits[argmax(logits)]!;
  let total = 0;
  for (let i = 0; i < logits.length; i++) total += fastExp(logits[i]! - highest);
  const level = highest + Math.log(total);
  const logprob = (id: number) => logits[id]! - level;
  const top = topCount > 0 ? largest(logits, topCount) : [];
  return { logprob: logprob(token), top: top.map((id) => ({ token: id, logprob: logprob(id) })) };
}
