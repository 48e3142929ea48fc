import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseKeyFile } from '../../functions/gateway/access/key-file.ts';
import { foldgate } from '../fixtures/command-line.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

it('keys are made, listed and removed; the file does not hold them', async () => {
  const file = join(await temporaryFolder(), 'keys.json');
  const keys = (...args: string[]) => foldgate('keys', ...args, '--file', file);
  const made = await keys('add', 'alice', '--requests-per-minute', '60');
  expect(made.code).toBe(0);
  expect(made.stdout).toMatch(/^fg-[\w-]{43}\n$/);
  expect((await keys('add', 'bob')).code).toBe(0);
  const text = await readFile(file, 'utf8');
  expect(text).not.toContain(made.stdout.trim());
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const listed = await keys('list', '--json');
  expect(JSON.parse(listed.stdout)).toMatchObject([
    { name: 'alice', requestsPerMinute: 60 },
    { name: 'bob' },
  ]);
  expect(listed.stdout).not.toContain('sha256');
  expect((await keys('list')).stdout).toMatch(/^NAME .*\nalice .* 60\nbob .*\n$/);

  const twice = await keys('add', 'alice');
  expect(twice).toMatchObject({ code: 2, stdout: '' });
  expect((await keys('remove', 'alice')).code).toBe(0);
  expect((await keys('remove', 'alice')).code).toBe(1);
  expect(parseKeyFile(await readFile(file, 'utf8'), file)).toMatchObject([{ name: 'bob' }]);
});

it('serve refuses a file of keys that is broken, and shows nothing of it', async () => {
  const folder = await temporaryFolder();
  const serve = async (name: string, text: string) => {
    const file = join(folder, name);
    await writeFile(file, text);
    return await foldgate('serve', '--store', folder, '--api-keys', file, '--port', '0');
  };
  for (const text of ['{"keys": [{"name": "fg-secret", ', '{"keys": [{"name": "a", "hash": "fg-secret"}]}']) {
    const { code, stderr } = await serve('keys.json', text);
    expect(code).toBe(1);
    expect(stderr).toContain('keys.json');
    expect(stderr).not.toContain('fg-secret');
  }
  expect(await serve('empty.txt', '# none yet\n')).toMatchObject({ code: 2 });
  expect(await foldgate('serve', '--store', folder, '--api-keys', join(folder, 'none'))).toMatchObject({
    code: 2,
  });
});
