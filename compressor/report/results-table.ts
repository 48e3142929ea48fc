import { html, type Markup } from '../../charts/html.ts';
import type { CompareRow, Comparison } from '../compare/row.ts';
import { megabytes, nameOf, percent } from './series.ts';

/** All rows with their numbers. The best of each budget stands out. */
export function resultsTable(comparison: Comparison): Markup {
  const { results, tasks, cureTokens } = comparison;
  const best = new Set(bestOf(comparison).map(({ row }) => row));
  const base = results[0]!.row.perplexity.before;
  const head = (text: string, title: string) => html`<th scope="col" title="${title}">${text}</th>`;
  const isServed = results.every(({ row }) => row.serving !== undefined);
  const notes = [...new Set(results.flatMap(({ row }) => row.note ?? []))];
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Results"><table>
<thead><tr><th scope="col">model</th>${head('saved', 'of the distinct block parameters')}${head('layers', 'that run')}
${head('size', 'stored, graph and tokenizer included')}<th scope="col" class="text">form</th>
${head('perplexity', 'in float32, before the cure')}${cureTokens > 0 && head('cured', 'in float32, after the cure')}
${head('stored', 'by the stored model')}${head('× original', "against the original's in float32")}
${tasks.map((task) => head(task, 'accuracy of the stored model'))}${isServed && html`${head('a token', 'decoding one sequence')}${head('speed', "against the original's")}${head('in memory', 'while serving, computed')}`}${head('time', 'ranking, folding, curing and measuring')}</tr></thead>
<tbody>${results.map(
    ({
      row,
    }) => html`<tr${best.has(row) && html` class="best"`}><th scope="row">${nameOf(row)}${row.note !== undefined && html` <sup title="${row.note}">${notes.indexOf(row.note) + 1}</sup>`}</th>
<td>${percent(row.saved)}</td><td>${row.layers}</td><td>${megabytes(row.bytes)}</td><td class="text">${row.quantization.replaceAll(',', ', ')}</td>
<td>${row.perplexity.before.toFixed(2)}</td>${cureTokens > 0 && html`<td>${row.perplexity.cured?.toFixed(2) ?? '–'}</td>`}
<td>${row.perplexity.stored.toFixed(2)}</td><td>${(row.perplexity.stored / base).toFixed(3)}</td>
${tasks.map((task) => accuracy(row.tasks[task]!))}${isServed && serving(row)}<td>${duration(row.seconds)}</td></tr>`,
  )}</tbody></table></div>
${notes.length > 0 && html`<ol class="notes">${notes.map((note) => html`<li>${note}</li>`)}</ol>`}`;
}

function accuracy({ accuracy: share, stderr }: { accuracy: number; stderr: number | null }): Markup {
  return html`<td>${percent(share)}${stderr !== null && html` <small>± ${(100 * stderr).toFixed(1)}</small>`}</td>`;
}

function serving({ serving: cost }: CompareRow): Markup {
  const { time, speed, memory } = cost!;
  return html`<td>${time.toFixed(2)} ms</td><td>${speed.toFixed(2)}×</td><td>${megabytes(memory)}</td>`;
}

/** Per budget, the model with the lowest perplexity once stored, of those of its size. */
export function bestOf({ results }: Comparison): Comparison['results'] {
  const budgets = [...new Set(results.map(({ row }) => row.budget))].filter((budget) => budget !== null);
  return budgets.flatMap((budget) =>
    results
      .filter(({ row }) => row.budget === budget && row.note === undefined)
      .toSorted((a, b) => a.row.perplexity.stored - b.row.perplexity.stored)
      .slice(0, 1),
  );
}

function duration(seconds: number): string {
  if (seconds < 100) return `${seconds.toFixed(0)} s`;
  return seconds < 6000 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
