import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readComparison } from '../../../compressor/compare/read.ts';
import { comparison } from '../../fixtures/comparison.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

describe('reading a comparison', () => {
  it.each([
    [undefined, 'There is no comparison in'],
    ['{', 'is no JSON'],
    ['null', 'has version undefined'],
    ['{"version": 9}', 'has version 9, and this Foldgate reads 1'],
    ['{"version": 1, "results": []}', 'holds no results yet'],
  ])('says what is wrong with %j', async (text, message) => {
    const folder = await temporaryFolder();
    if (text !== undefined) await writeFile(join(folder, 'compare.json'), text);
    await expect(readComparison(folder)).rejects.toThrow(message);
  });

  it('gives what was written', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'compare.json'), JSON.stringify(comparison()));
    expect(await readComparison(folder)).toEqual(comparison());
  });
});
