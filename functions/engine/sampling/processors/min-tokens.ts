import type { LogitsProcessor } from './logits-processor.ts';

/** Forbids the tokens that end a text until it has some length. */
export class MinTokens implements LogitsProcessor {
  #left: number;
  readonly #stopTokens: ReadonlySet<number>;

  /** @returns undefined where there is nothing to forbid */
  static of(minTokens: number, stopTokens: readonly number[]): MinTokens | undefined {
    return minTokens > 0 && stopTokens.length > 0 ? new MinTokens(minTokens, stopTokens) : undefined;
  }

  private constructor(minTokens: number, stopTokens: readonly number[]) {
    this.#left = minTokens;
    this.#stopTokens = new Set(stopTokens);
  }

  process(logits: Float32Array): void {
    if (this.#left <= 0 || !this.#hasOthers(logits)) return;
    for (const token of this.#stopTokens) logits[token] = -Infinity;
  }

  accept(): void {
    this.#left--;
  }

  /** A grammar that is at its end leaves nothing but an end: the text cannot be longer then. */
  #hasOthers(logits: Float32Array): boolean {
    return logits.some((logit, token) => logit > -Infinity && !this.#stopTokens.has(token));
  }
}
