import { axes, continuous, legend, marker, path, svg, wide } from '../../charts/chart.ts';
import { html, type Markup } from '../../charts/html.ts';
import { type CompareRow, type Comparison, control, original } from '../compare/row.ts';
import { megabytes, nameOf, seriesOf } from './series.ts';

/** Size against what a model can do: of each method a line from the original on. */
export function tradeOff(
  comparison: Comparison,
  what: { label: string; better: 'lower' | 'higher'; format: (value: number) => string },
  measureOf: (row: CompareRow) => number,
): Markup {
  const series = seriesOf(comparison);
  const rows = comparison.results.map(({ row }) => row);
  const x = continuous(
    rows.map(({ bytes }) => bytes / 1e6),
    [wide.left, wide.width - wide.right],
  );
  const y = continuous(rows.map(measureOf), [wide.height - wide.bottom, wide.top]);
  const place = (row: CompareRow): [number, number] => [x(row.bytes / 1e6), y(measureOf(row))];
  const start = rows.find(({ method }) => method === original);
  const lines = [...series].map(([method, index]) => {
    if (method === original || method === control) return undefined;
    const own = rows.filter((row) => row.method === method).sort((a, b) => b.bytes - a.bytes);
    const points = (start ? [start, ...own] : own).map(place);
    return html`<path class="line s${index % 8}" d="${path(points)}"/>`;
  });
  // The original last, on top of where all lines begin.
  const marks = rows
    .toSorted((a, b) => series.get(b.method)! - series.get(a.method)!)
    .map((row) => {
      const tip = `${nameOf(row)}: ${what.format(measureOf(row))} in ${megabytes(row.bytes)}, ${row.quantization}`;
      return marker(series.get(row.method)!, ...place(row), tip);
    });
  const caption = {
    title: `${what.label} by stored size`,
    description: rows
      .map((row) => `${nameOf(row)}: ${megabytes(row.bytes)}, ${what.format(measureOf(row))}.`)
      .join(' '),
  };
  const label = `${what.label} (${what.better} is better)`;
  return html`${legend([...series].map(([name, index]) => ({ series: index, name })))}
${svg(wide, caption, html`${axes(wide, x, y, { x: 'stored size in MB', y: label })}${lines}${marks}`)}`;
}
