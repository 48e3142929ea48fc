import { type Frame, svg } from '../../charts/chart.ts';
import { html, type Markup } from '../../charts/html.ts';

const frame: Frame = { width: 560, height: 560, left: 62, right: 12, top: 12, bottom: 62 };

/** Numbers along an edge, at most. */
const edgeLabels = 17;

/** How alike the hidden states of any two depths are: the stronger the colour, the more. */
export function heatMap(similarity: number[][]): Markup {
  const depths = similarity.length;
  const cell = (frame.width - frame.left - frame.right) / depths;
  const others = similarity.flatMap((row, i) => row.filter((_, j) => j !== i));
  const low = Math.min(1, ...others);
  const cells = similarity.flatMap((row, i) =>
    row.map((value, j) => {
      const strength = low < 1 ? (value - low) / (1 - low) : 1;
      return html`<rect class="heat" x="${frame.left + j * cell}" y="${frame.top + i * cell}" width="${cell}" height="${cell}" fill-opacity="${0.04 + 0.96 * strength}"><title>${nameOf(i)} and ${nameOf(j)}: ${value.toFixed(3)}</title></rect>`;
    }),
  );
  const step = Math.ceil(depths / edgeLabels);
  const labels = Array.from({ length: depths }, (_, i) => i).filter((i) => i % step === 0);
  const bottom = frame.top + depths * cell;
  const edge = labels.map((i) => {
    const middle = (i + 0.5) * cell;
    return html`<text x="${frame.left - 8}" y="${frame.top + middle + 4}" text-anchor="end">${i}</text>
<text x="${frame.left + middle}" y="${bottom + 18}" text-anchor="middle">${i}</text>`;
  });
  const neighbours = similarity.slice(1).map((row, i) => row[i]!);
  const least = neighbours.indexOf(Math.min(...neighbours));
  const caption = {
    title: 'Similarity of hidden states between depths',
    description:
      `Mean cosine at ${depths} depths, from ${low.toFixed(3)} to 1. The layer that changes the states most is ` +
      `layer ${least}, with ${neighbours[least]?.toFixed(3)} between before and after.`,
  };
  const half = (frame.left + frame.width - frame.right) / 2;
  return html`${svg(
    frame,
    caption,
    html`${cells}<g class="axis">${edge}
<text class="label" x="${half}" y="${frame.height - 14}" text-anchor="middle">layers passed</text>
<text class="label" transform="translate(16 ${(frame.top + bottom) / 2}) rotate(-90)" text-anchor="middle">layers passed</text></g>`,
  )}
<p class="scale"><span>${low.toFixed(2)}</span><span class="ramp" aria-hidden="true"></span><span>1.00</span></p>`;
}

function nameOf(depth: number): string {
  return depth === 0 ? 'the embedding' : `after layer ${depth - 1}`;
}
