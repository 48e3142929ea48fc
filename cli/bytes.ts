import { UsageError } from '../artifact/errors.ts';

const units = { '': 1, B: 1, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };

/**
 * `500MB`, `1.5 GB`, `0`: decimal units, as sizes are printed.
 * @throws UsageError
 */
export function parseBytes(text: string): number {
  const [, number, unit] = /^(\d{1,15}(?:\.\d+)?) ?([KMGT]?B)?$/i.exec(text.trim()) ?? [];
  if (number === undefined) {
    throw new UsageError(
      `${JSON.stringify(text)} is no size. Expected a number and a unit: 500MB, 10GB, 1.5TB.`,
    );
  }
  return Math.round(Number(number) * units[(unit ?? '').toUpperCase() as keyof typeof units]);
}
