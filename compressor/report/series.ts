import { type CompareRow, type Comparison, control, original, quantize } from '../compare/row.ts';

/** Each method's colour and shape, the same in all charts of a report. */
export function seriesOf({ results }: Comparison): Map<string, number> {
  const names = new Set(results.map(({ row }) => row.method));
  const folds = [...names].filter((name) => ![original, control, quantize].includes(name));
  const order = [...folds, quantize, control, original].filter((name) => names.has(name));
  return new Map(order.map((name, i) => [name, i]));
}

/** `foldgpt 25%` */
export function nameOf({ method, budget }: Pick<CompareRow, 'method' | 'budget'>): string {
  return budget === null ? method : `${method} ${percent(budget, 0)}`;
}

export function percent(share: number, digits = 1): string {
  return `${(100 * share).toFixed(digits)}%`;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e8 ? 2 : 0)} MB`;
}

/** What sharing without training ruins has ten digits, of which three say enough. */
export function formatPerplexity(value: number): string {
  return value < 1e5 ? value.toFixed(2) : value.toExponential(2);
}
