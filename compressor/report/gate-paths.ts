import { axes, continuous, dodge, path, svg, wide } from '../../charts/chart.ts';
import { html, type Markup } from '../../charts/html.ts';
import type { CompareResult } from '../compare/row.ts';
import { nameOf } from './series.ts';

const frame = { ...wide, right: 44, height: 320 };

/** How the gates of all layers moved while they were trained together. */
export function gatePaths({ row, plan }: CompareResult): Markup | undefined {
  const { gates } = plan;
  const last = gates?.at(-1);
  if (!gates || !last) return undefined;
  const x = continuous(
    gates.map(({ step }) => step),
    [frame.left, frame.width - frame.right],
    0,
  );
  const y = continuous(
    [0, 1, ...gates.flatMap((step) => step.gates)],
    [frame.height - frame.bottom, frame.top],
    0,
  );
  const kept = new Set(plan.layers.map(({ source }) => source));
  const classOf = (layer: number) => (kept.has(layer) ? '' : 'removed');
  const lines = last.gates.map((end, layer) => {
    const points = gates.map((step): [number, number] => [x(step.step), y(step.gates[layer]!)]);
    return html`<path class="line gate ${classOf(layer)}" d="${path(points)}"><title>layer ${layer}: ${end.toFixed(3)} at the end</title></path>`;
  });
  // Where many end at the same place, numbers of those that shut are what matters.
  const shut = [...last.gates.keys()].filter((layer) => !kept.has(layer));
  const ends = dodge(
    shut.map((layer) => y(last.gates[layer]!)),
    13,
    [frame.top, frame.height - frame.bottom],
  );
  const labels = shut.map(
    (layer, i) =>
      html`<text class="end removed" x="${frame.width - frame.right + 6}" y="${ends[i]! + 4}">${layer}</text>`,
  );
  const caption = {
    title: `Gates of ${nameOf(row)} while they were trained`,
    description: `At the end: ${last.gates.map((gate, layer) => `layer ${layer} ${gate.toFixed(2)}`).join(', ')}.`,
  };
  return html`<figure><figcaption>${nameOf(row)}</figcaption>${svg(
    frame,
    caption,
    html`${axes(frame, x, y, { x: 'step', y: 'gate' })}${lines}${labels}`,
  )}</figure>`;
}
