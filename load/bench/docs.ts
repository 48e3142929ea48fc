import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { charts } from './charts.ts';
import type { BenchResults } from './results.ts';
import { tables } from './tables.ts';

/** Puts the results of a model between its marks in `docs/benchmarks.md`, and its charts beside the page. */
export async function writeDocs(results: BenchResults, folder = 'docs'): Promise<void> {
  const page = join(folder, 'benchmarks.md');
  const pictures = join(folder, 'benchmarks', results.model);
  await mkdir(pictures, { recursive: true });
  const files = charts(results);
  for (const [name, text] of Object.entries(files)) await writeFile(join(pictures, name), text);
  const section = [
    `### ${results.model}, under load`,
    '',
    ...tables(results),
    ...Object.keys(files).map(
      (name) => `![${name.replace('.svg', '')}](benchmarks/${results.model}/${name})`,
    ),
  ];
  await writeFile(page, withSection(await readFile(page, 'utf8'), results.model, section.join('\n')));
}

/** The page with this model's section made or replaced; new ones come last among them. */
export function withSection(page: string, model: string, section: string): string {
  const [begin, end] = [`<!-- bench: ${model} -->`, `<!-- /bench: ${model} -->`];
  const block = `${begin}\n${section.trim()}\n${end}`;
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from >= 0 && to > from) return page.slice(0, from) + block + page.slice(to + end.length);
  const place = page.indexOf(placeForNew);
  if (place < 0) throw new Error(`There is no "${placeForNew}" in the page, where new results belong.`);
  return `${page.slice(0, place) + block}\n\n${page.slice(place)}`;
}

const placeForNew = '<!-- bench: new models here -->';
