import type { Sampling } from '../../engine.ts';
import type { LogitsProcessor } from './logits-processor.ts';

/** Adds a number to the logits of chosen tokens. */
export class LogitBias implements LogitsProcessor {
  readonly #biases: readonly (readonly [token: number, bias: number])[];

  /** @returns undefined where there are none */
  static of({ logitBias = {} }: Sampling): LogitBias | undefined {
    const biases = Object.entries(logitBias).map(([token, bias]) => [Number(token), bias] as const);
    return biases.length > 0 ? new LogitBias(biases) : undefined;
  }

  private constructor(biases: readonly (readonly [token: number, bias: number])[]) {
    this.#biases = biases;
  }

  process(logits: Float32Array): void {
    for (const [token, bias] of this.#biases) logits[token]! += bias;
  }

  accept(): void {}
}
