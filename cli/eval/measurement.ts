import type { EvaluatedModel } from '../../compressor/evaluate/evaluated-model.ts';
import type { Progress } from '../progress.ts';

/**
 * One way of measuring, its files read already: a wrong one is told before a model is fetched.
 * @returns what is to be printed
 */
export type Measurement = (model: EvaluatedModel, show: Progress, signal: AbortSignal) => Promise<string>;
