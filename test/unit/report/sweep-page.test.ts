import { describe, expect, it } from 'vitest';
import {
  anyPlan,
  contextOf,
  defaultGrid,
  type Sweep,
  sweepCells,
  sweepPoint,
} from '../../../compressor/plan/sweep.ts';
import { sweepPage } from '../../../compressor/report/sweep-page.ts';
import { elementsOf } from '../../fixtures/html-elements.ts';
import { randomCheckpoint } from '../../fixtures/random-checkpoint.ts';

const checkpoint = randomCheckpoint();
const options = { weights: 'first' as const, quantize: 'int4', keep: [0, -1] };
const cells = sweepCells(checkpoint, defaultGrid(checkpoint, options.keep), options);
const sweep: Sweep = {
  ...{ checkpoint: '<b>&', checkpointLayers: 4, quantize: 'int4', context: contextOf(checkpoint) },
  points: cells.map((cell) => sweepPoint(checkpoint, cell, anyPlan(checkpoint, cell), 1000)),
};
const measured: Sweep = {
  ...sweep,
  measured: { rank: 'loss', text: 'a "text"', tokens: 99 },
  points: sweep.points.map((point, i) => ({
    ...point,
    measured: { perplexity: 9 ** (i + 1), time: 1 + i / 7 },
  })),
};

const ids = (page: string, element: string) =>
  elementsOf(page).flatMap(({ name, attributes }) => (name === element ? (attributes.get('id') ?? []) : []));

describe('the page of a sweep', () => {
  it('has what was measured where it was', () => {
    expect(ids(sweepPage(sweep), 'section')).toEqual(['work', 'folds']);
    expect(ids(sweepPage(measured), 'section')).toEqual(['quality', 'work', 'folds']);
    expect(sweepPage(measured)).toContain('<td>9.00</td>');
    expect(sweepPage(measured)).toContain('<td>3.87e+8</td>');
  });

  it('draws every fold in every chart, and a line for each sharing', () => {
    for (const [page, charts] of [
      [sweepPage(sweep), 2],
      [sweepPage(measured), 4],
    ] as const) {
      const classes = elementsOf(page).map(({ attributes }) => attributes.get('class') ?? '');
      expect(classes.filter((name) => name.startsWith('line '))).toHaveLength(3 * charts);
      // Three more in each legend.
      expect(classes.filter((name) => name.startsWith('mark '))).toHaveLength((cells.length + 3) * charts);
      expect(page).not.toMatch(/NaN|undefined|Infinity/);
    }
  });

  it('draws a line for each width too', () => {
    const grid = { kept: [4, 3], shares: [1], widths: [1, 0.75] };
    const points = sweepCells(checkpoint, grid, options).map((cell) =>
      sweepPoint(checkpoint, cell, anyPlan(checkpoint, cell), 1000),
    );
    const page = sweepPage({ ...sweep, points });
    const classes = elementsOf(page).map(({ attributes }) => attributes.get('class') ?? '');
    expect(classes.filter((name) => name.startsWith('line '))).toHaveLength(2 * 2);
    expect(page).toContain('a block a layer, MLPs 75% wide');
    expect(page).toContain('<td>75%</td>');
  });

  it('escapes names, and depends on the numbers alone', () => {
    expect(sweepPage(measured)).toContain('&lt;b&gt;&amp;: sizes to fold it to');
    expect(sweepPage(measured)).toContain('a &quot;text&quot;');
    expect(sweepPage(measured)).toBe(sweepPage(measured));
  });
});
