import { type Content, html, Markup } from '../../charts/html.ts';
import { style } from './style.ts';

export interface Section {
  id: string;
  title: string;
  /** Sections without one are left out. */
  body: Content;
}

export interface Page {
  title: string;
  /** What came out, in a sentence or two. */
  lead: Content;
  circumstances: Content;
  sections: readonly Section[];
}

/** One HTML page: it opens offline, loads nothing, and runs no script. */
export function page({ title, lead, circumstances, sections }: Page): string {
  const shown = sections.filter(({ body }) => body !== undefined);
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${title}</title>
<style>${new Markup(style)}</style>
</head>
<body>
<main>
<header>
<h1>${title}</h1>
<p class="lead">${lead}</p>
<p class="soft">${circumstances}</p>
<nav aria-label="Sections"><ul>${shown.map(({ id, title: name }) => html`<li><a href="#${id}">${name}</a></li>`)}</ul></nav>
</header>
${shown.map(
  ({
    id,
    title: name,
    body,
  }) => html`<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${name}</h2>
${body}</section>
`,
)}</main>
</body>
</html>
`.text;
}
