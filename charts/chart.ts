/** The only door to D3: scales with round ticks, lines, symbols. It needs no browser. */
import { type ScaleContinuousNumeric, scaleBand, scaleLinear, scaleLog, scaleSymlog } from 'd3-scale';
import {
  line,
  symbol,
  symbolCircle,
  symbolCross,
  symbolDiamond,
  symbolSquare,
  symbolStar,
  symbolTriangle,
  symbolWye,
} from 'd3-shape';
import { type Content, html, type Markup } from './html.ts';

export type Scale = ScaleContinuousNumeric<number, number>;

/** Pixels; the SVG grows and shrinks with the page. */
export interface Frame {
  width: number;
  height: number;
  left: number;
  right: number;
  top: number;
  bottom: number;
}

export const wide: Frame = { width: 760, height: 380, left: 62, right: 24, top: 16, bottom: 48 };

/** Text that every chart has for those who do not see it. */
export interface Caption {
  title: string;
  description: string;
}

let counter = 0;

export function svg(frame: Pick<Frame, 'width' | 'height'>, caption: Caption, content: Content): Markup {
  const id = `chart-${counter++}`;
  return html`<svg viewBox="0 0 ${frame.width} ${frame.height}" role="img" aria-labelledby="${id}-t ${id}-d">
<title id="${id}-t">${caption.title}</title><desc id="${id}-d">${caption.description}</desc>
${content}</svg>`;
}

/** Ids begin anew, so that a report depends on its data alone. */
export function resetIds(): void {
  counter = 0;
}

/** A factor between smallest and largest beyond which a linear axis hides the small ones. */
const logFrom = 20;

/** Linear, or logarithmic where values are positive and far apart; the domain ends at round numbers. */
export function continuous(values: number[], range: [number, number], pad = 0.06): Scale {
  const [low, high] = extent(values);
  if (low > 0 && high / low > logFrom) return scaleLog([low, high], range).nice();
  const space = (high - low || Math.abs(high) || 1) * pad;
  return scaleLinear([low - space, high + space], range).nice(6);
}

/** From 0, whatever the sign of the values; outliers are drawn in. */
export function fromZero(values: number[], range: [number, number]): Scale {
  const [low, high] = extent([0, ...values]);
  const sizes = values.map(Math.abs).sort((a, b) => a - b);
  const median = sizes[Math.floor(sizes.length / 2)] ?? 0;
  if (median > 0 && Math.max(-low, high) / median > logFrom)
    return scaleSymlog([low, high], range).constant(median);
  return scaleLinear([low, high || 1], range).nice(4);
}

export function bands(count: number, range: [number, number], padding = 0.15) {
  const scale = scaleBand<number>(
    Array.from({ length: count }, (_, i) => i),
    range,
  ).padding(padding);
  return { at: (index: number) => scale(index)!, width: scale.bandwidth() };
}

function extent(values: number[]): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return Number.isFinite(low) ? [low, high] : [0, 1];
}

const wanted = 6;

/** Grid lines, numbers and what they count. */
export function axes(frame: Frame, x: Scale, y: Scale, labels: { x: string; y: string }): Markup {
  const { width, height, left, right, top, bottom } = frame;
  return html`<g class="axis">${yTicks(frame, y)}
${ticksOf(x).map(
  (
    tick,
  ) => html`<text x="${x(tick)}" y="${height - bottom + 20}" text-anchor="middle">${formatTick(x, tick)}</text>
<line x1="${x(tick)}" x2="${x(tick)}" y1="${height - bottom}" y2="${height - bottom + 5}"/>`,
)}
<line class="base" x1="${left}" x2="${width - right}" y1="${height - bottom}" y2="${height - bottom}"/>
<text class="label" x="${(left + width - right) / 2}" y="${height - 6}" text-anchor="middle">${labels.x}</text>
<text class="label" transform="translate(14 ${(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">${labels.y}</text></g>`;
}

export function yTicks({ left, width, right }: Frame, y: Scale): Content {
  return ticksOf(y).map(
    (tick) => html`<line class="grid" x1="${left}" x2="${width - right}" y1="${y(tick)}" y2="${y(tick)}"/>
<text x="${left - 8}" y="${y(tick) + 4}" text-anchor="end">${formatTick(y, tick)}</text>`,
  );
}

/** Pixels between two numbers of an axis, at least. */
const leastDistance = 18;

function ticksOf(scale: Scale): number[] {
  const ticks = scale.ticks(wanted);
  // A logarithmic scale gives nine a decade: those of 1, 2 and 5 do.
  const few =
    ticks.length <= 2 * wanted
      ? ticks
      : ticks.filter((tick) =>
          [1, 2, 5].includes(Math.round(tick / 10 ** Math.floor(Math.log10(tick) + 1e-9))),
        );
  // Where one draws outliers in, large numbers come close to each other; the smallest ones stay.
  const kept: number[] = [];
  for (const tick of few) {
    const last = kept.at(-1);
    if (last === undefined || Math.abs(scale(tick) - scale(last)) >= leastDistance) kept.push(tick);
  }
  return kept;
}

function formatTick(scale: Scale, tick: number): string {
  const [low, high] = extent(scale.domain());
  if (Math.abs(tick) >= 1000) return compact(tick);
  return high - low > 1000 ? compact(tick) : scale.tickFormat(wanted)(tick) || compact(tick);
}

/** `20k`, `1.5M` */
export function compact(value: number): string {
  return new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 }).format(value);
}

/** The path of a line. */
export function path(points: readonly (readonly [number, number])[]): string {
  const round = (value: number) => Math.round(value * 100) / 100;
  return line()(points.map(([x, y]): [number, number] => [round(x), round(y)])) ?? '';
}

const shapes = [
  symbolCircle,
  symbolSquare,
  symbolTriangle,
  symbolDiamond,
  symbolCross,
  symbolStar,
  symbolWye,
];

/** Colour and shape of a series, so that either tells them apart; `c0` to `c7` are colours of the page. */
export function marker(series: number, x: number, y: number, tip: string, size = 90): Markup {
  const shape = symbol(shapes[series % shapes.length], size)()!.replaceAll(/\d+\.\d+/g, (digits) =>
    String(Math.round(Number(digits) * 100) / 100),
  );
  return html`<path class="mark c${series % 8}" transform="translate(${x} ${y})" d="${shape}"><title>${tip}</title></path>`;
}

/** What the markers mean, above a chart. */
export function legend(entries: readonly { series: number; name: string }[]): Markup {
  return html`<ul class="legend">${entries.map(
    ({ series, name }) =>
      html`<li><svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">${marker(series, 8, 8, name, 60)}</svg>${name}</li>`,
  )}</ul>`;
}

/** Moves labels apart that would lie over each other. @returns their places, in the order given */
export function dodge(places: readonly number[], distance: number, [low, high]: [number, number]): number[] {
  const order = [...places.keys()].sort((a, b) => places[a]! - places[b]!);
  const moved = [...places];
  let last = -Infinity;
  for (const index of order) {
    moved[index] = Math.max(places[index]!, last + distance, low);
    last = moved[index]!;
  }
  let limit = high;
  for (const index of order.toReversed()) {
    moved[index] = Math.min(moved[index]!, limit);
    limit = moved[index]! - distance;
  }
  return moved;
}
