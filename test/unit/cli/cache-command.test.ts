import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { foldgate } from '../../fixtures/command-line.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

it('foldgate cache tells what is kept, and shrinks it when asked', async () => {
  const folder = await temporaryFolder();
  await mkdir(join(folder, 'blobs'));
  for (const letter of 'ab') await writeFile(join(folder, 'blobs', letter.repeat(64)), Buffer.alloc(600));
  const told = await foldgate('cache', '--cache', folder);
  expect(told).toEqual({ code: 0, stdout: `${folder}: 2 blobs, 1.20 kB\n`, stderr: '' });
  const shrunk = await foldgate('cache', '--cache', folder, '--size', '1kB', '--json');
  expect(shrunk).toMatchObject({ code: 0, stderr: '' });
  const removed = { blobs: 1, bytes: 600 };
  expect(JSON.parse(shrunk.stdout)).toEqual({ folder, removed, blobs: 1, bytes: 600 });
  const emptied = await foldgate('cache', '--cache', folder, '--size', '0');
  expect(emptied.stdout).toBe(`${folder}: 0 blobs, 0 B\n`);
  expect(emptied.stderr).toBe('Removed 1 blobs (600 B).\n');
  const wrong = await foldgate('cache', '--cache', folder, '--size', '10 apples');
  expect(wrong).toMatchObject({ code: 2, stdout: '' });
  expect(wrong.stderr).toContain('"10 apples" is no size');
});
