import { html, raw } from 'hono/html';
import type { JsonSchema, OpenApiDocument, Operation } from './document.ts';
import { script } from './page-script.ts';
import { style } from './page-style.ts';
import { typeText } from './type-text.ts';

type Html = ReturnType<typeof html>;

/** An OpenAPI document as one page that loads nothing else: what each address takes, and a form to try it. */
export function page(document: OpenApiDocument): Html {
  const operations = operationsOf(document);
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${document.info.title}: the HTTP interface</title>
<style>${raw(style)}</style>
</head>
<body>
<header>
<h1>${document.info.title}</h1>
<p>${document.info.description} <a href="openapi.json">openapi.json</a> is this page for machines.</p>
<p><label>API key, where the server asks for one <input id="key" type="password" autocomplete="off"></label></p>
<nav aria-label="Endpoints">${document.tags.map(
    ({ name }) =>
      html`<section><h2>${name}</h2><ul>${operations
        .filter(({ operation }) => operation.tags.includes(name))
        .map(
          (entry) => html`<li><a href="#${entry.operation.operationId}">${title(entry)}</a></li>`,
        )}</ul></section>`,
  )}</nav>
</header>
<main>${operations.map(operationSection)}</main>
<script>${raw(script)}</script>
</body>
</html>
`;
}

interface Entry {
  method: string;
  path: string;
  operation: Operation;
}

/** In the order of the tags, as the page lists them. */
function operationsOf({ paths, tags }: OpenApiDocument): Entry[] {
  const entries = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
  return tags.flatMap(({ name }) => entries.filter(({ operation }) => operation.tags.includes(name)));
}

function title({ method, path }: Entry): Html {
  return html`<span class="method ${method.toLowerCase()}">${method}</span> <code>${path}</code>`;
}

function operationSection(entry: Entry): Html {
  const { operation } = entry;
  const media = operation.requestBody?.content['application/json'];
  return html`<section id="${operation.operationId}">
<h2>${title(entry)}</h2>
<p>${operation.summary}.</p>
${operation.description === undefined ? '' : html`<p class="soft">${operation.description}</p>`}
${media ? fieldTable(media.schema) : ''}
${tryForm(entry, media?.example)}
</section>`;
}

function fieldTable({ properties = {}, required = [] }: JsonSchema): Html {
  const isRequired = (name: string) => required.includes(name);
  const names = Object.keys(properties).sort((a, b) => Number(isRequired(b)) - Number(isRequired(a)));
  return html`<div class="scroll"><table>
<thead><tr><th scope="col">Field</th><th scope="col">Value</th><th scope="col">Default</th><th scope="col"></th></tr></thead>
<tbody>${names.map((name) => {
    const field = properties[name]!;
    return html`<tr><th scope="row"><code>${name}</code></th><td>${typeText(field)}</td>${
      isRequired(name) ? html`<td>required</td>` : defaultCell(field)
    }<td>${field.description ?? ''}</td></tr>`;
  })}</tbody>
</table></div>`;
}

/** Nothing for those that are empty. */
function defaultCell({ default: value }: JsonSchema): Html {
  const isEmpty = value === undefined || value === '' || typeof value === 'object';
  return isEmpty ? html`<td></td>` : html`<td class="default">${JSON.stringify(value)}</td>`;
}

function tryForm({ method, path }: Entry, example: unknown): Html {
  const text = example === undefined ? undefined : JSON.stringify(example, null, 2);
  return html`<details><summary>Try it</summary>
<form data-method="${method}" data-path="${path}">
${[...path.matchAll(/\{(\w+)\}/g)].map(
  ([, name]) =>
    html`<label>${name} <input name="${name}" required class="${name === 'id' ? 'model' : ''}"></label>`,
)}
${
  text === undefined
    ? ''
    : html`<label>Body <textarea name="body" rows="${text.split('\n').length}" spellcheck="false">${text}</textarea></label>`
}
<button>Send</button> <button type="button" class="stop" hidden>Stop</button> <output></output>
<pre tabindex="0" aria-label="Answer" hidden></pre>
</form></details>`;
}
