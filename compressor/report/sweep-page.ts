import { axes, continuous, legend, marker, path, resetIds, svg, wide } from '../../charts/chart.ts';
import { type Content, html, type Markup } from '../../charts/html.ts';
import type { Sweep } from '../plan/sweep.ts';
import { asPerplexity, inMegabytes, type Measure } from './measure.ts';
import { page } from './page.ts';
import { formatPerplexity, megabytes } from './series.ts';

type Point = Sweep['points'][number];

type PointMeasure = Measure<Point>;

const stored: PointMeasure = inMegabytes('stored size in MB', (point) => point.stored);
const served: PointMeasure = inMegabytes('memory while serving in MB', (point) => point.served);
const multiplyAdds: PointMeasure = {
  label: 'multiply-adds a token in millions',
  of: (point) => point.multiplyAdds / 1e6,
  format: (value) => `${value.toFixed(value < 100 ? 1 : 0)} million multiply-adds`,
};
const time: PointMeasure = {
  label: 'time a token in ms',
  of: (point) => point.measured!.time,
  format: (value) => `${value.toFixed(2)} ms`,
};
const perplexity: PointMeasure = asPerplexity(
  'perplexity (lower is better)',
  (point) => point.measured!.perplexity,
);

/** A sweep as one HTML page. */
export function sweepPage(sweep: Sweep): string {
  resetIds();
  const { points, measured, checkpoint } = sweep;
  const figure = (x: PointMeasure, y: PointMeasure) => html`<figure>${chart(points, x, y)}</figure>`;
  const quality = measured && html`${figure(stored, perplexity)}${figure(time, perplexity)}`;
  return page({
    title: `${checkpoint}: sizes to fold it to`,
    lead: lead(points),
    circumstances: circumstances(sweep),
    sections: [
      {
        id: 'quality',
        title: 'What it costs',
        body: quality && html`<p>Untrained: a cure gives part of it back.</p>${quality}`,
      },
      {
        id: 'work',
        title: 'Bytes and work',
        body: html`<p>Sharing blocks saves bytes, and no work: every layer that runs is computed. Removing layers saves both, and so do narrower MLPs.</p>
${figure(stored, measured ? time : multiplyAdds)}${figure(served, multiplyAdds)}`,
      },
      { id: 'folds', title: 'All folds', body: table(sweep) },
    ],
  });
}

/** One number of all folds against another: of each sharing and width a line, from the most layers on. */
function chart(points: readonly Point[], x: PointMeasure, y: PointMeasure): Markup {
  const forms = [...new Set(points.map(formOf))];
  const across = continuous(points.map(x.of), [wide.left, wide.width - wide.right]);
  const up = continuous(points.map(y.of), [wide.height - wide.bottom, wide.top]);
  const place = (point: Point): [number, number] => [across(x.of(point)), up(y.of(point))];
  const lines = forms.map((form, series) => {
    const own = points.filter((point) => formOf(point) === form);
    return html`<path class="line s${series % 8}" d="${path(own.map(place))}"/>`;
  });
  const inWords = (point: Point) => `${nameOf(point)}: ${x.format(x.of(point))}, ${y.format(y.of(point))}`;
  const marks = points.map((point) => marker(forms.indexOf(formOf(point)), ...place(point), inWords(point)));
  const caption = {
    title: `${y.label} by ${x.label}`,
    description: points.map((point) => `${inWords(point)}.`).join(' '),
  };
  const series = forms.map((name, i) => ({ series: i, name }));
  return html`${legend(series)}
${svg(wide, caption, html`${axes(wide, across, up, { x: x.label, y: y.label })}${lines}${marks}`)}`;
}

/** What folds of one line have in common. */
function formOf({ share, width }: Point): string {
  const sharing = share === 1 ? 'a block a layer' : `a block for ${share} layers`;
  return `${sharing}${wideOf(width)}`;
}

function wideOf(width: number): string {
  return width === 1 ? '' : `, MLPs ${formatShare(width)} wide`;
}

function formatShare(share: number): string {
  return `${Number((100 * share).toFixed(1))}%`;
}

function nameOf({ kept, blocks, width }: Point): string {
  return `${kept} layers of ${blocks} blocks${wideOf(width)}`;
}

function lead(points: readonly Point[]): string {
  const sorted = points.toSorted((a, b) => a.stored - b.stored);
  const inWords = (point: Point) => `${megabytes(point.stored)} (${nameOf(point)})`;
  return `From ${inWords(sorted.at(-1)!)} down to ${inWords(sorted[0]!)}.`;
}

function circumstances({ checkpointLayers, quantize, context, measured }: Sweep): string {
  const how = measured
    ? ` Layers were ranked by ${measured.rank}; perplexity is that of float32 on ${measured.tokens} tokens of ${measured.text}; ` +
      'the time is that of the stored form on the machine that wrote this page.'
    : '';
  return `${checkpointLayers} layers; stored as ${quantize}; memory and multiply-adds with ${context} tokens of context.${how}`;
}

function table({ points, measured }: Sweep): Content {
  const head = (text: string, title: string) => html`<th scope="col" title="${title}">${text}</th>`;
  const cell = ({ of, format }: PointMeasure, point: Point) => html`<td>${format(of(point))}</td>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Folds"><table>
<thead><tr><th scope="col">kept</th>${head('share', 'neighbours that run one block')}${head('width', "mean share of the MLPs' width")}${head('blocks', 'distinct ones')}${head('layers', 'that run')}
${head('parameters', 'each block counted once')}${head('stored', 'graph and tokenizer included')}${head('in memory', 'while serving')}${head('a token', 'multiply-adds')}
${measured && html`${head('time', 'of a token')}${head('perplexity', 'in float32')}`}</tr></thead>
<tbody>${points.map(
    (
      point,
    ) => html`<tr><th scope="row">${point.kept}</th><td>${point.share}</td><td>${formatShare(point.width)}</td><td>${point.blocks}</td><td>${point.layers}</td>
<td>${point.parameters.toLocaleString('en')}</td>${cell(stored, point)}${cell(served, point)}<td>${(point.multiplyAdds / 1e6).toFixed(1)} M</td>
${measured && html`${cell(time, point)}<td>${formatPerplexity(point.measured!.perplexity)}</td>`}</tr>`,
  )}</tbody></table></div>`;
}
