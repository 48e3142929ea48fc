import { formatPerplexity, megabytes } from './series.ts';

/** A number of a model or a fold, for an axis or a column. */
export interface Measure<T> {
  label: string;
  of: (one: T) => number;
  format: (value: number) => string;
}

/** @param of gives bytes */
export function inMegabytes<T>(label: string, of: Measure<T>['of']): Measure<T> {
  return { label, of: (one) => of(one) / 1e6, format: (value) => megabytes(value * 1e6) };
}

export function asPerplexity<T>(label: string, of: Measure<T>['of']): Measure<T> {
  return { label, of, format: (value) => `perplexity ${formatPerplexity(value)}` };
}
