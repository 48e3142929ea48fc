import type { Refill } from '../plan/make-plan.ts';
import type { PatchKind } from '../plan/plan.ts';
import type { Shrink } from '../plan/widths.ts';

/**
 * A way to fold, by name: which layers go, what stands in for them, and how the result is repaired.
 * Options given beside a method's name win over the method's own.
 */
export interface FoldMethod {
  /** One line for `--help`. */
  summary: string;
  /** Who says so. */
  source: string;
  /** As for `--rank`. */
  rank: string;
  /** As for `--patch`. */
  patch: PatchKind;
  /** As for `--refill`. @default none */
  refill?: Refill;
  /** As for `--shrink`. @default depth */
  shrink?: Shrink;
  /** As for `--adapter`. @default none */
  adapter?: string;
  /** As for `--calibration-tokens`, where the ranking fits as well as measures. @default the option's own */
  calibrationTokens?: number;
  /** Tokens of distillation after the fold, where there is text to train on. */
  cureTokens: number;
  /** As for `--cross-entropy`. @default 0 */
  crossEntropy?: number;
  /** As for `--learning-rate`. @default the cure's own */
  learningRate?: number;
  /** As for `--quantize-aware`, where there is text to train on. @default 0 */
  quantizeAware?: number;
}
