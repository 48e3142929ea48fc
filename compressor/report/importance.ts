import { bands, type Frame, fromZero, svg, yTicks } from '../../charts/chart.ts';
import { html, type Markup } from '../../charts/html.ts';
import type { CompareResult } from '../compare/row.ts';
import { rankedParts } from './ranked-parts.ts';
import { nameOf } from './series.ts';

const frame: Frame = { width: 370, height: 220, left: 52, right: 8, top: 12, bottom: 40 };

/** Numbers along the lower edge, at most. */
const edgeLabels = 16;

const meaning: Record<string, string> = {
  gates: 'α of the gate',
  'gates-halves': 'α of the gate',
  influence: '1 - cosine',
  loss: 'nats a token without it',
  greedy: 'nats a token without it',
  blockpruner: 'nats a token without it',
  runs: 'nats a token without its run',
};

/** Rankings that measure nothing have no importance to show. */
const measured = (method: string) => !['reverse', 'uniform', 'none'].includes(method);

/** What each ranking thought of each layer; the layers that went are marked. */
export function importance(results: readonly CompareResult[]): Markup {
  const ranked = results.filter(({ plan }) => plan.scores && measured(plan.method));
  if (ranked.length === 0) return html`<p>No method measured the layers.</p>`;
  return html`<ul class="legend"><li><span class="swatch kept"></span>kept</li><li><span class="swatch removed"></span>removed</li></ul>
<div class="grid-2">${ranked.map(
    (result) =>
      html`<figure><figcaption>${nameOf(result.row)}, by ${result.plan.method}</figcaption>${bars(result)}</figure>`,
  )}</div>`;
}

function bars({ row, plan }: CompareResult): Markup {
  const parts = rankedParts(plan);
  const scores = parts.map(({ score }) => score);
  const x = bands(scores.length, [frame.left, frame.width - frame.right]);
  const y = fromZero(scores, [frame.height - frame.bottom, frame.top]);
  const perLayer = plan.halfScores ? 2 : 1; // attention and MLP side by side
  const step = Math.ceil(parts.length / perLayer / edgeLabels);
  const marks = parts.map(({ name, score, isKept }, i) => {
    const [from, to] = [y(Math.max(0, score)), y(Math.min(0, score))];
    return html`<rect class="bar ${isKept ? '' : 'removed'}" x="${x.at(i)}" y="${from}" width="${x.width}" height="${Math.max(1, to - from)}" rx="1.5"><title>${name}: ${score.toPrecision(3)}, ${isKept ? 'kept' : 'removed'}</title></rect>`;
  });
  const labels = parts.map(
    ({ layer }, i) =>
      i % (step * perLayer) === 0 &&
      html`<text x="${(x.at(i) + x.at(i + perLayer - 1) + x.width) / 2}" y="${frame.height - frame.bottom + 16}" text-anchor="middle">${layer}</text>`,
  );
  const caption = {
    title: `Importance of the layers: ${nameOf(row)}`,
    description: parts.map(({ name, score }) => `${name}: ${score.toPrecision(3)}`).join(', '),
  };
  const unit = meaning[plan.method];
  return svg(
    frame,
    caption,
    html`<g class="axis">${yTicks(frame, y)}${labels}
<text class="label" x="${(frame.left + frame.width - frame.right) / 2}" y="${frame.height - 4}" text-anchor="middle">layer${unit === undefined ? '' : ` (${unit})`}</text></g>${marks}`,
  );
}
