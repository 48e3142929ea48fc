import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { methods } from '../../../compressor/methods/index.ts';
import { rankers } from '../../../compressor/rank/index.ts';
import { rankSummaries, searchRank } from '../../../compressor/rank/summaries.ts';

const read = (name: string) => readFile(new URL(`../../../${name}`, import.meta.url), 'utf8');

describe('the methods', () => {
  it('are described, each in a section of its own', async () => {
    const titles = [...(await read('docs/methods.md')).matchAll(/^## (.+)$/gm)].map(([, title]) => title!);
    expect(titles.toSorted()).toEqual([...Object.keys(methods), 'quantize'].sort());
  });

  it('rank by what there is, and every ranking is described', async () => {
    for (const [name, { rank }] of Object.entries(methods))
      expect([...Object.keys(rankers), searchRank], name).toContain(rank);
    const folding = await read('docs/folding.md');
    for (const name of Object.keys(rankSummaries)) expect(folding).toContain(`| \`${name}\` |`);
  });
});
