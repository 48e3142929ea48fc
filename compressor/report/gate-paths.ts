import { axes, continuous, dodge, path, svg, wide } from '../../charts/chart.ts';
import { html, type Markup } from '../../charts/html.ts';
import type { CompareResult } from '../compare/row.ts';
import { rankedParts } from './ranked-parts.ts';
import { nameOf } from './series.ts';

const frame = { ...wide, right: 44, height: 320 };

/** How the gates of all layers, or of their halves, moved while they were trained together. */
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
  const parts = rankedParts(plan);
  const lines = parts.map(({ name, isKept }, i) => {
    const points = gates.map((step): [number, number] => [x(step.step), y(step.gates[i]!)]);
    const end = last.gates[i]!;
    return html`<path class="line gate ${isKept ? '' : 'removed'}" d="${path(points)}"><title>${name}: ${end.toFixed(3)} at the end</title></path>`;
  });
  // Where many end at the same place, numbers of those that shut are what matters.
  const shut = [...parts.keys()].filter((i) => !parts[i]!.isKept);
  const ends = dodge(
    shut.map((i) => y(last.gates[i]!)),
    13,
    [frame.top, frame.height - frame.bottom],
  );
  const labels = shut.map(
    (part, i) =>
      html`<text class="end removed" x="${frame.width - frame.right + 6}" y="${ends[i]! + 4}">${parts[part]!.label}</text>`,
  );
  const caption = {
    title: `Gates of ${nameOf(row)} while they were trained`,
    description: `At the end: ${parts.map(({ name }, i) => `${name} ${last.gates[i]!.toFixed(2)}`).join(', ')}.`,
  };
  return html`<figure><figcaption>${nameOf(row)}</figcaption>${svg(
    frame,
    caption,
    html`${axes(frame, x, y, { x: 'step', y: 'gate' })}${lines}${labels}`,
  )}</figure>`;
}
