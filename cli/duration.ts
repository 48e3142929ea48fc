import { UsageError } from '../artifact/errors.ts';

const unitMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * `90s`, `30m`, `24h`, `7d` in milliseconds.
 * @throws UsageError
 */
export function parseDuration(text: string): number {
  const [, number, unit] = /^(\d{1,6}(?:\.\d+)?)([smhd])$/.exec(text.trim()) ?? [];
  if (number === undefined || unit === undefined) {
    throw new UsageError(
      `${JSON.stringify(text)} is no duration. Expected a number and a unit: 90s, 30m, 24h, 7d.`,
    );
  }
  return Number(number) * unitMs[unit as keyof typeof unitMs];
}
