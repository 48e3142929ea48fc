import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';

const page = new URL('../../../docs/compatibility.md', import.meta.url);
const rows = (await readFile(page, 'utf8')).split('\n').filter((line) => /^\| (?!behaviour|---)/.test(line));
const cells = rows.map((row) => row.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, '')));

describe('docs/compatibility.md', () => {
  it('says of each behaviour whether it is here', () => {
    const unclear = cells.filter((row) => row.length !== 3 || !/^(yes|no)$/.test(row[1]!) || row[2] === '');
    expect(unclear).toEqual([]);
    expect(cells.length).toBeGreaterThan(50);
  });

  it('names tests that exist', async () => {
    const missing = [];
    for (const [behaviour, here, test] of cells) {
      if (here === 'no') continue;
      const [, title, path] = /^\[(.+)\]\((.+)\)$/.exec(test!) ?? [];
      const text = path === undefined ? '' : await readFile(new URL(path, page), 'utf8');
      // Titles in single quotes have theirs escaped.
      if (!title || !text.replaceAll("\\'", "'").includes(title)) missing.push({ behaviour, test });
    }
    expect(missing).toEqual([]);
  });
});
