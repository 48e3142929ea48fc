import { resolve } from 'node:path';
import type { Comparison } from '../compressor/compare/row.ts';

/** Writes a comparison's report: whole or not at all. */
export async function writeReport(comparison: Comparison, path: string): Promise<void> {
  const { writeAtomically } = await import('../artifact/store/atomic-file.ts');
  const { reportPage } = await import('../compressor/report/report.ts');
  const page = reportPage(comparison);
  await writeAtomically(resolve(path), (file) => file.writeFile(page));
}
