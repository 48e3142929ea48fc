import { expect, it } from 'vitest';
import { markdownTable } from '../../../compressor/compare/table.ts';
import { comparison } from '../../fixtures/comparison.ts';

it('has a cell for each number of each row, and notes below', () => {
  const { results, tasks } = comparison();
  for (const { row } of results) if (row.note !== undefined) row.note = 'too large';
  const named = results.map((result) => ({
    ...result,
    row: { ...result.row, tasks: { quiz: Object.values(result.row.tasks)[0]! } },
  }));
  expect(tasks).toHaveLength(1);
  const lines = markdownTable({ results: named, tasks: ['quiz'] }).split('\n');
  expect(lines[0]).toBe(
    '| method | budget | saved | layers | block parameters | MB | quantization | perplexity before | cured | stored | x original | quiz | ms a token | speed | served MB | s |',
  );
  expect(lines[1]!.match(/---/g)).toHaveLength(16);
  expect(lines[2]).toBe(
    '| original |  | 0.0% | 4 | 3.60 M | 2.40 | int4 | 20.00 |  | 21.00 | 1.050 | 50.0% | 1.00 | 1.00x | 104 | 12 |',
  );
  expect(lines[4]).toBe(
    '| foldgpt | 25.0% | 25.0% | 3 | 2.70 M | 1.80 | int4 | 21.00 | 20.00 | 21.00 | 1.050 | 50.0% | 0.75 | 1.33x | 103 | 12 |',
  );
  expect(lines[7]).toMatch(/^\| quantize \(1\) \| 25\.0% \|/);
  expect(lines.slice(8)).toEqual(['', '(1) too large']);
});
