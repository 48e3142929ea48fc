import { html, type Markup } from '../../charts/html.ts';
import type { Comparison } from '../compare/row.ts';
import { nameOf } from './series.ts';

/** What each stored model writes on from the same beginnings, the likeliest token each time. */
export function samples({ prompts, results }: Comparison): Markup {
  return html`${prompts.map(
    (prompt, i) =>
      html`<article class="sample"><h3>${prompt} …</h3><dl>${results.map(
        ({ row, samples: texts }) =>
          html`<div><dt>${nameOf(row)}</dt><dd>${texts[i]?.trim() || '(ends the text at once)'}</dd></div>`,
      )}</dl></article>`,
  )}`;
}
