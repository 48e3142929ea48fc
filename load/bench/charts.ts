import { continuous, type Frame, marker, path, resetIds, svg, yTicks } from '../../charts/chart.ts';
import { html, Markup } from '../../charts/html.ts';
import { type BenchResults, cellOf, middle, type Pick } from './results.ts';

const frame: Frame = { width: 560, height: 340, left: 62, right: 24, top: 56, bottom: 48 };

/** The colours of the report, for a page or a file of its own, light or dark. */
const style = `
svg{font:13px system-ui,sans-serif;background:#fff}text{fill:#374151}.grid{stroke:#e5e7eb}.base{stroke:#6b7280}
.line{fill:none;stroke-width:2}.c0{fill:#b45309;stroke:#b45309}.c1{fill:#1d4ed8;stroke:#1d4ed8}
.c2{fill:#047857;stroke:#047857}.c3{fill:#7c3aed;stroke:#7c3aed}.c4{fill:#be185d;stroke:#be185d}
.line.line{fill:none}.title{font-weight:600;fill:#111827}
@media(prefers-color-scheme:dark){svg{background:#111827}text{fill:#d1d5db}.title{fill:#f9fafb}
.grid{stroke:#374151}.base{stroke:#9ca3af}.c0{fill:#f59e0b;stroke:#f59e0b}.c1{fill:#60a5fa;stroke:#60a5fa}
.c2{fill:#34d399;stroke:#34d399}.c3{fill:#a78bfa;stroke:#a78bfa}.c4{fill:#f472b6;stroke:#f472b6}}`;

/** A chart for each number that changes with the load, by the name of its file. */
export function charts(results: BenchResults): Record<string, string> {
  resetIds();
  const all: [string, string, string, Pick][] = [
    ['throughput', 'Throughput', 'tokens a second', ({ tokensPerSecond }) => tokensPerSecond],
    ['first-token', 'Time to the first token', 'ms, median', ({ ttft }) => ttft.p50],
    ['memory', 'Resident memory', 'MB', ({ residentMb }) => residentMb],
  ];
  return Object.fromEntries(
    all.map(([file, title, unit, pick]) => [`${file}.svg`, overStreams(results, title, unit, pick)]),
  );
}

function overStreams(
  { contenders, closed, model }: BenchResults,
  title: string,
  unit: string,
  pick: Pick,
): string {
  const counts = [...new Set(closed.map(({ streams }) => streams))].sort((a, b) => a - b);
  const series = contenders.map(({ name }) => ({
    name,
    points: counts.flatMap((streams) => {
      const cell = cellOf(closed, name, streams);
      return cell ? [{ streams, value: middle(cell, pick) }] : [];
    }),
  }));
  const { width, height, left, right, top, bottom } = frame;
  // Each count is a place of its own: they are powers of four.
  const x = (streams: number) =>
    left + 24 + (counts.indexOf(streams) * (width - left - right - 48)) / Math.max(1, counts.length - 1);
  const values = series.flatMap(({ points }) => points.map(({ value }) => value));
  const y = continuous([0, ...values], [height - bottom, top], 0);
  const drawing = html`<style>${new Markup(style)}</style>
<text class="title" x="${left}" y="20">${title}, ${model}</text>
${series.map(({ name }, i) => html`<g>${marker(i, left + 8 + i * 170, 38, name, 60)}<text x="${left + 18 + i * 170}" y="42" font-size="11">${name}</text></g>`)}
<g class="axis">${yTicks(frame, y)}
${counts.map((count) => html`<text x="${x(count)}" y="${height - bottom + 20}" text-anchor="middle">${count}</text>`)}
<line class="base" x1="${left}" x2="${width - right}" y1="${height - bottom}" y2="${height - bottom}"/>
<text x="${(left + width - right) / 2}" y="${height - 8}" text-anchor="middle">streams at once</text>
<text transform="translate(14 ${(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">${unit}</text></g>
${series.map(
  (
    { name, points },
    i,
  ) => html`<path class="line c${i % 8}" d="${path(points.map(({ streams, value }) => [x(streams), y(value)]))}"/>
${points.map(({ streams, value }) => marker(i, x(streams), y(value), `${name}, ${streams}: ${value.toFixed(0)} ${unit}`, 70))}`,
)}`;
  const description = series.map(({ name, points }) => {
    const told = points.map(({ streams, value }) => `${value.toFixed(0)} at ${streams}`).join(', ');
    return `${name}: ${told}`;
  });
  const caption = { title: `${title}, ${model}`, description: `${unit}. ${description.join('; ')}.` };
  const { text } = svg(frame, caption, drawing);
  return `${text.replace('<svg ', '<svg xmlns="http://www.w3.org/2000/svg" ')}\n`;
}
