import { axes, continuous, legend, marker, path, svg, wide } from '../../charts/chart.ts';
import { html, type Markup } from '../../charts/html.ts';
import { type CompareRow, type Comparison, control, original } from '../compare/row.ts';
import type { Measure } from './measure.ts';
import { nameOf, seriesOf } from './series.ts';

/** A number of a model that is better the lower, or the higher. */
export interface Criterion extends Measure<CompareRow> {
  better: 'lower' | 'higher';
}

/**
 * What a model costs against what it can do: of each method a line from the original on, and through the models that no
 * other one beats in both, the front (Pareto's).
 */
export function tradeOff(comparison: Comparison, cost: Criterion, quality: Criterion): Markup {
  const series = seriesOf(comparison);
  const rows = comparison.results.map(({ row }) => row);
  const x = continuous(rows.map(cost.of), [wide.left, wide.width - wide.right]);
  const y = continuous(rows.map(quality.of), [wide.height - wide.bottom, wide.top]);
  const place = (row: CompareRow): [number, number] => [x(cost.of(row)), y(quality.of(row))];
  const start = rows.find(({ method }) => method === original);
  const lines = [...series].map(([method, index]) => {
    if (method === original || method === control) return undefined;
    const own = rows.filter((row) => row.method === method).sort((a, b) => b.bytes - a.bytes);
    const points = (start ? [start, ...own] : own).map(place);
    return html`<path class="line s${index % 8}" d="${path(points)}"/>`;
  });
  const best = front(rows, cost, quality);
  const bestLine = html`<path class="front" d="${path(best.map(place))}"><title>best of their cost: ${best.map(nameOf).join(', ')}</title></path>`;
  // The original last, on top of where all lines begin.
  const marks = rows
    .toSorted((a, b) => series.get(b.method)! - series.get(a.method)!)
    .map((row) => {
      const tip = `${nameOf(row)}: ${inWords(row, quality)}, ${inWords(row, cost)}, ${row.quantization}`;
      return marker(series.get(row.method)!, ...place(row), tip);
    });
  const caption = {
    title: `${quality.label} by ${cost.label}`,
    description:
      rows.map((row) => `${nameOf(row)}: ${inWords(row, cost)}, ${inWords(row, quality)}.`).join(' ') +
      ` Best of their cost: ${best.map(nameOf).join(', ')}.`,
  };
  const label = ({ label, better }: Criterion) => `${label} (${better} is better)`;
  return html`${legend([...series].map(([name, index]) => ({ series: index, name })))}
${svg(wide, caption, html`${axes(wide, x, y, { x: label(cost), y: label(quality) })}${bestLine}${lines}${marks}`)}`;
}

const inWords = (row: CompareRow, { of, format }: Criterion) => format(of(row));

/** The models that no other one beats or equals in both numbers, from the cheapest on. */
export function front(rows: readonly CompareRow[], cost: Criterion, quality: Criterion): CompareRow[] {
  const goodness = (row: CompareRow, { of, better }: Criterion) => (better === 'lower' ? -of(row) : of(row));
  const cheapestFirst = rows.toSorted(
    (a, b) => goodness(b, cost) - goodness(a, cost) || goodness(b, quality) - goodness(a, quality),
  );
  let best = Number.NEGATIVE_INFINITY;
  return cheapestFirst.filter((row) => {
    const isBetter = goodness(row, quality) > best;
    if (isBetter) best = goodness(row, quality);
    return isBetter;
  });
}
