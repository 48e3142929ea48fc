import type { Comparison } from '../compare/row.ts';

export function reportPage(comparison: Comparison): string {
  return comparison.checkpoint;
}
