/** Resident memory as a server's `/metrics` tell it, and how it grew. Nothing of Node's, as k6 runs it too. */

const residentMetric = /^process_resident_memory_bytes(?:\{[^}]*\})?\s+(\S+)/m;

/** Bytes; undefined where the text has no such metric. */
export function residentBytes(metrics: string): number | undefined {
  const value = Number(residentMetric.exec(metrics)?.[1] ?? Number.NaN);
  return Number.isFinite(value) ? value : undefined;
}

/** Samples below which a growth would be chance. */
const fewestSamples = 8;

/**
 * From the median of the second quarter to the median of the last, as a part of the former: a server's first
 * requests fill pools and caches, which is no leak. Undefined for too few samples.
 */
export function memoryGrowth(samples: readonly number[]): number | undefined {
  if (samples.length < fewestSamples) return undefined;
  const quarter = Math.floor(samples.length / 4);
  const early = middle(samples.slice(quarter, 2 * quarter));
  return middle(samples.slice(-quarter)) / early - 1;
}

function middle(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
