import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { startFoldgate } from '../../fixtures/command-line.ts';
import { startHub } from '../../fixtures/hub-server.ts';
import { picoPath } from '../../fixtures/pico.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

async function run(args: string[], env: Record<string, string>) {
  return await startFoldgate(['pull', ...args], { HF_TOKEN: '', ...env }).result;
}

it('prints the path and nothing else on stdout, so that a fold can take it', async () => {
  const names = await readdir(picoPath('llama'));
  const files = await Promise.all(
    names.map(async (name) => [name, await readFile(join(picoPath('llama'), name))]),
  );
  const hub = await startHub('maker/pico', Object.fromEntries(files));
  onTestFinished(() => hub.close());
  const env = { HF_ENDPOINT: hub.url, FOLDGATE_CACHE: await temporaryFolder() };
  const folder = join(env.FOLDGATE_CACHE, 'checkpoints/maker/pico');
  const { code, stdout, stderr } = await run(['hf:maker/pico'], env);
  expect({ code, stdout }).toEqual({ code: 0, stdout: `${folder}\n` });
  expect(stderr).toContain('Fetching hf:maker/pico');
  expect(JSON.parse((await run(['hf:maker/pico', '--json'], env)).stdout)).toEqual({ path: folder });
});

it('exits with 2 for a name that is none, with 1 where the hub is away', async () => {
  const env = { HF_ENDPOINT: 'http://127.0.0.1:1', FOLDGATE_CACHE: await temporaryFolder() };
  expect(await run(['maker/pico'], env)).toMatchObject({ code: 2, stdout: '' });
  const { code, stderr } = await run(['hf:maker/pico'], env);
  expect(code).toBe(1);
  expect(stderr).toContain('The connection to the hub failed');
});
