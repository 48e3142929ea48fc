import { cp, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { readManifest } from '../../artifact/models/read.ts';
import { openModelUrl } from '../../artifact/store/open.ts';
import { startFoldgate } from '../fixtures/command-line.ts';
import { picoPath } from '../fixtures/pico.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

/** Starts, waits until the model is served, and stops. @returns what it said */
async function startAndStop(folder: string, ...flags: string[]): Promise<string> {
  const { child, result } = startFoldgate(
    [
      'start',
      ...['--checkpoint', join(folder, 'tiny'), '--store', join(folder, 'store'), '--port', '0'],
      ...['--calibration-tokens', '64', ...flags],
    ],
    { FOLDGATE_CACHE: join(folder, 'cache') },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  let told = '';
  child.stdout!.on('data', (text) => {
    told += text;
    if (!child.killed && told.includes('Serving tiny at')) child.kill('SIGTERM');
  });
  const { stderr, stdout } = await result;
  expect(stdout, stderr).toContain('Serving tiny at');
  return stderr;
}

const again = 'tiny is folded already';
const folding = 'Published tiny';

it('folds once, and again where the options, the checkpoint or the manifest ask for it', async () => {
  const folder = await temporaryFolder();
  await cp(picoPath('llama'), join(folder, 'tiny'), { recursive: true });
  const start = (...flags: string[]) => startAndStop(folder, ...flags);

  expect(await start()).toContain(folding);
  expect(await start()).toContain(again);
  expect(await start('--quantize', 'int8')).toContain(folding);

  // Fine-tuned again: the same path and size, other content.
  await utimes(join(folder, 'tiny', 'model.safetensors'), 1, 1);
  expect(await start('--quantize', 'int8')).toContain(folding);
  expect(await start('--quantize', 'int8')).toContain(again);

  const { store, name } = await openModelUrl(`file:${folder}/store/tiny`);
  const { manifest } = await readManifest(store, name);
  expect(JSON.stringify(manifest)).not.toContain(folder);

  const pointer = join(folder, 'store', 'models', 'tiny', 'current.json');
  await writeFile(pointer, '{"of another": "version"}');
  const damaged = await start('--quantize', 'int8');
  expect(damaged).toContain('Folding tiny again.');
  expect(damaged).toContain(folding);
  expect(JSON.parse(await readFile(pointer, 'utf8')).manifest).toMatch(/^[0-9a-f]{64}$/);
}, 180_000);
