import type { State } from './state-file.ts';

export interface PrepareOptions {
  /** Fills the gradients with those of further batches, from weights that nothing changes in between. */
  gradients: () => Promise<void>;
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/** Trains parameters by their gradients. */
export interface Optimizer extends Disposable {
  /** Steps taken. */
  steps: number;
  /** All that steps change and depend on, the parameters' values among it: what a saved state holds. */
  readonly arrays: State['arrays'];
  /** To be awaited before the first step of a training that begins anew, where it is there. */
  prepare?(options: PrepareOptions): Promise<void>;
  /**
   * One step along the gradients.
   * @returns the norm of all gradients that are followed together, before clipping
   * @throws FoldgateError where it is not finite: nothing is changed then
   */
  step(learningRate: number): number;
}
