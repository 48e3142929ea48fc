import { expect, it } from 'vitest';
import type { CompareRow } from '../../../compressor/compare/row.ts';
import { type Criterion, front } from '../../../compressor/report/trade-off.ts';
import { comparison } from '../../fixtures/comparison.ts';
import { randomIntegers } from '../../fixtures/random.ts';

const measure = (better: Criterion['better'], of: Criterion['of']): Criterion => ({
  label: '',
  better,
  of,
  format: String,
});
const cost = measure('lower', ({ bytes }) => bytes);
const quality = measure('higher', ({ seconds }) => seconds);

it('leads through the models that no other one beats in both', () => {
  const below = randomIntegers(1);
  const template = comparison().results[0]!.row;
  for (let round = 0; round < 50; round++) {
    // Few values, so that some are equal.
    const rows: CompareRow[] = Array.from({ length: 12 }, () => ({
      ...template,
      bytes: below(6),
      seconds: below(6),
    }));
    const beats = (a: CompareRow, b: CompareRow) =>
      a.bytes <= b.bytes && a.seconds >= b.seconds && (a.bytes < b.bytes || a.seconds > b.seconds);
    const points = (some: CompareRow[]) => new Set(some.map(({ bytes, seconds }) => `${bytes},${seconds}`));
    const best = front(rows, cost, quality);
    expect(points(best)).toEqual(points(rows.filter((row) => !rows.some((other) => beats(other, row)))));
    expect(best).toHaveLength(points(best).size);
    expect(best.map(cost.of)).toEqual(best.map(cost.of).toSorted((a, b) => a - b));
  }
});
