import { halves } from '../../artifact/manifest.ts';
import { svg } from '../../charts/chart.ts';
import { type Content, html, type Markup } from '../../charts/html.ts';
import type { CompareResult, Comparison } from '../compare/row.ts';
import { halfNames } from '../graph/halves.ts';
import type { PatchKind } from '../plan/plan.ts';
import { nameOf } from './series.ts';

const width = 760;
const left = 132;
const rowHeight = 34;
const top = 26;
/** Numbers along the upper edge, at most. */
const edgeLabels = 40;

/** Which block each layer runs: a row a model, a column a layer of the checkpoint. */
export function layerMap({ results, checkpointLayers }: Comparison): Markup {
  const folded = results.filter(
    ({ plan: { layers, widths } }) =>
      layers.length < checkpointLayers || isShared(layers) || widths || layers.some(({ half }) => half),
  );
  const models = [results[0]!, ...folded];
  const cell = (width - left) / checkpointLayers;
  const step = Math.ceil(checkpointLayers / edgeLabels);
  const columns = Array.from({ length: checkpointLayers }, (_, layer) => layer);
  const edge = columns
    .filter((layer) => layer % step === 0)
    .map(
      (layer) => html`<text x="${left + (layer + 0.5) * cell}" y="16" text-anchor="middle">${layer}</text>`,
    );
  const rows = models.map((model, i) => row(model, columns, cell, top + i * rowHeight));
  const caption = {
    title: 'The block that each layer runs',
    description: models.map((model) => `${nameOf(model.row)}: ${inWords(model, columns)}.`).join(' '),
  };
  return svg(
    { width, height: top + models.length * rowHeight },
    caption,
    html`<g class="axis">${edge}<text class="label" x="${left - 12}" y="16" text-anchor="end">layer</text></g>${rows}`,
  );
}

function row({ row: about, plan }: CompareResult, columns: number[], cell: number, y: number): Markup {
  const blockOf = new Map(plan.layers.map(({ source, block }) => [source, block]));
  const halfOf = new Map(plan.layers.map(({ source, half }) => [source, half]));
  const refilled = new Set(plan.layers.filter(({ refill }) => refill).map(({ source }) => source));
  const users = Map.groupBy(plan.layers, ({ block }) => block);
  const height = rowHeight - 8;
  const cells = columns.map((layer): Content => {
    const x = left + layer * cell;
    const block = blockOf.get(layer);
    if (block === undefined)
      return html`<rect class="gone" x="${x + 1}" y="${y}" width="${cell - 2}" height="${height}" rx="3"><title>layer ${layer}: removed</title></rect>`;
    const shared = users.get(block)!.length > 1;
    const name =
      cell >= 18 &&
      html`<text class="on" x="${x + cell / 2}" y="${y + height / 2 + 4}" text-anchor="middle">${block}</text>`;
    // Attention is drawn above, as it comes first.
    const half = halfOf.get(layer);
    const [from, tall] = [half === 'mlp' ? y + height / 2 : y, half ? height / 2 : height];
    const wide = plan.widths && half !== 'attention' ? `, MLP ${plan.widths[block]} wide` : '';
    const told = `${wide}${half ? `, ${halfNames[half]} alone` : ''}${refilled.has(layer) ? ' again, behind gains' : ''}`;
    return html`<rect class="kept ${shared ? `c${block % 8}` : ''}" x="${x + 1}" y="${from}" width="${cell - 2}" height="${tall}" rx="3"><title>layer ${layer}: block ${block}${told}</title></rect>${!half && name}`;
  });
  const kept = new Map([...blockOf].filter(([layer]) => !refilled.has(layer)));
  const standIn = plan.patch && standIns[plan.patch];
  const patches =
    standIn &&
    runsOf(columns, kept).map(
      ([from, to]) =>
        html`<rect class="patch" x="${left + from * cell + 3}" y="${y + height / 2 - 3}" width="${(to - from) * cell - 6}" height="6" rx="3"><title>${standIn} layers ${from} to ${to - 1}</title></rect>`,
    );
  return html`<text class="name" x="${left - 12}" y="${y + height / 2 + 4}" text-anchor="end">${nameOf(about)}</text>${cells}${patches}`;
}

/** By the plan's patch, before the layers it is for. */
const standIns: Record<PatchKind, string> = {
  none: '',
  linear: 'a linear patch in the place of',
  block: 'the layer before them is trained to stand in for',
};

/** Runs of removed layers: from, and to the first kept one. */
function runsOf(columns: number[], blockOf: Map<number, number>): [number, number][] {
  const runs: [number, number][] = [];
  for (const layer of columns) {
    if (blockOf.has(layer)) continue;
    const last = runs.at(-1);
    if (last?.[1] === layer) last[1]++;
    else runs.push([layer, layer + 1]);
  }
  return runs;
}

function isShared(layers: { block: number }[]): boolean {
  return new Set(layers.map(({ block }) => block)).size < layers.length;
}

function inWords({ plan, blocks }: CompareResult, columns: number[]): string {
  const kept = new Set(plan.layers.map(({ source }) => source));
  const gone = columns.filter((layer) => !kept.has(layer));
  const halved = halves.flatMap((half) => {
    const alone = plan.layers.filter((layer) => layer.half === half).map(({ source }) => source);
    return alone.length > 0 ? [`, ${halfNames[half]} alone in ${alone.join(', ')}`] : [];
  });
  const without = gone.length > 0 ? `, without ${gone.join(', ')}` : '';
  const { widths } = plan;
  const wide = widths ? `, MLPs ${Math.min(...widths)} to ${Math.max(...widths)} wide` : '';
  return `${plan.layers.length} layers of ${blocks} blocks${without}${halved.join('')}${wide}`;
}
