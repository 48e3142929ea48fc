import { axes, continuous, legend, marker, path, svg, wide } from '../../charts/chart.ts';
import { html, type Markup } from '../../charts/html.ts';
import { type CompareResult, type Comparison, type CurePoint, control } from '../compare/row.ts';
import { nameOf, seriesOf } from './series.ts';

const frame = { ...wide, height: 320 };

/** Of every cure: perplexity on held-out text, and the loss of its steps. */
export function cureCurves(comparison: Comparison): Markup | undefined {
  const cured = comparison.results.filter(({ cure }) => cure.length > 0);
  if (cured.length === 0) return undefined;
  // The control's loss is another one, and nothing to compare with.
  const distilled = cured.filter(({ row }) => row.method !== control);
  const label = 'training loss, nats a token';
  return html`<figure><figcaption>Perplexity on held-out text</figcaption>
${curves(comparison, cured, 'perplexity', 'perplexity', true)}</figure>
${distilled.length > 0 && html`<figure><figcaption>Loss of the training steps</figcaption>${curves(comparison, distilled, 'loss', label, false)}</figure>`}`;
}

function curves(
  comparison: Comparison,
  results: readonly CompareResult[],
  field: 'loss' | 'perplexity',
  label: string,
  withMarks: boolean,
): Markup {
  const series = seriesOf(comparison);
  const pointsOf = ({ cure }: CompareResult) =>
    cure.flatMap((point: CurePoint) =>
      point[field] === undefined ? [] : [[point.tokens, point[field]] as const],
    );
  const all = results.flatMap(pointsOf);
  const x = continuous([0, ...all.map(([tokens]) => tokens)], [frame.left, frame.width - frame.right], 0);
  const y = continuous(
    all.map(([, value]) => value),
    [frame.height - frame.bottom, frame.top],
  );
  const budgets = [...new Set(results.map(({ row }) => row.budget))].filter((budget) => budget !== null);
  const lines = results.map((result) => {
    const index = series.get(result.row.method)!;
    const places = pointsOf(result).map(([tokens, value]) => [x(tokens), y(value), value] as const);
    // Of one method, the larger the saving, the shorter the dashes.
    const { budget } = result.row;
    const place = budget === null ? -1 : budgets.indexOf(budget);
    const dash = place > 0 && `dash-${Math.min(place, 3)}`;
    return html`<path class="line s${index % 8} ${dash}" d="${path(places.map(([px, py]) => [px, py]))}"><title>${nameOf(result.row)}</title></path>
${withMarks && places.map(([px, py, value]) => marker(index, px, py, `${nameOf(result.row)}: ${value.toFixed(2)}`, 48))}`;
  });
  const caption = {
    title: `The cures' ${label}`,
    description: results
      .map((result) => {
        const own = pointsOf(result);
        return `${nameOf(result.row)}: from ${own[0]?.[1].toFixed(2)} to ${own.at(-1)?.[1].toFixed(2)}.`;
      })
      .join(' '),
  };
  const names = [...new Set(results.map(({ row }) => row.method))];
  return html`${legend(names.map((name) => ({ name, series: series.get(name)! })))}
${svg(frame, caption, html`${axes(frame, x, y, { x: 'tokens of the cure', y: label })}${lines}`)}`;
}
