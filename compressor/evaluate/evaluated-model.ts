import { InvalidDataError } from '../../artifact/errors.ts';
import type { Tokenizer } from '../../artifact/tokenizer.ts';
import type { EvaluateOptions } from './student.ts';
import type { Quality, TextWindows } from './windows.ts';

/** Tokens of which the last ones are predicted. */
export interface Sequence {
  /** From the text's beginning to the last token that predicts one. */
  tokens: Int32Array;
  /** What follows the last `targets.length` of them. */
  targets: Int32Array;
}

export interface Prediction {
  /** -log p of each target, in nats. */
  losses: Float64Array;
  /** The token held likeliest in each target's place, the first of equal ones. */
  likeliest: Int32Array;
}

/** What is measured: a checkpoint or a student in float32, or a folded model by its own kernels. */
export interface EvaluatedModel {
  /** For messages. */
  readonly name: string;
  readonly tokenizer: Tokenizer;
  readonly tokens: { readonly bos: number | undefined; readonly eos: readonly number[] };
  /** Tokens it can see at once. */
  readonly contextLength: number;
  evaluate(text: TextWindows, options?: EvaluateOptions): Promise<Quality>;
  /**
   * @returns one prediction a sequence, in order
   * @throws InvalidDataError where the model computes no numbers
   */
  predict(sequences: readonly Sequence[], options?: EvaluateOptions): Promise<Prediction[]>;
  /**
   * The likeliest token, `count` times, for each prompt. A text that ends itself has its ending token as its
   * last.
   */
  continueGreedily(
    prompts: readonly Int32Array[],
    count: number,
    options?: EvaluateOptions,
  ): Promise<Int32Array[]>;
  close(): Promise<void>;
}

/** Index of the largest number, the first of equal ones. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

/**
 * What is NaN or infinite would be compared with, and come out as an answer.
 * @throws InvalidDataError
 */
export function checkFinite(value: number, { name }: { name: string }): void {
  if (Number.isFinite(value)) return;
  throw new InvalidDataError(
    `${name} computes ${value}, not a number one can use: it is broken, or its numbers are too large for float32. ` +
      'Get it anew, or fold it with less --remove or --share and more bits.',
  );
}
