import { cp, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished, vi } from 'vitest';
import { readManifest } from '../../artifact/models/read.ts';
import { openModelUrl } from '../../artifact/store/open.ts';
import { foldgate, startFoldgate } from '../fixtures/command-line.ts';
import { startHub } from '../fixtures/hub-server.ts';
import { picoPath } from '../fixtures/pico.ts';
import { stories } from '../fixtures/tale-text.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

/** Starts, waits until the model is served, and stops. @returns what it said */
async function startAndStop(folder: string, name: string, ...flags: string[]): Promise<string> {
  const { child, result } = startFoldgate(
    ['start', '--store', join(folder, 'store'), '--port', '0', ...flags],
    { FOLDGATE_CACHE: join(folder, 'cache') },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  let told = '';
  child.stdout!.on('data', (text) => {
    told += text;
    if (!child.killed && told.includes(`Serving ${name} at`)) child.kill('SIGTERM');
  });
  const { stderr, stdout } = await result;
  expect(stdout, stderr).toContain(`Serving ${name} at`);
  return stderr;
}

const again = 'tiny is folded already';
const folding = 'Published tiny';

it('folds once, and again where the options, the checkpoint or the manifest ask for it', async () => {
  const folder = await temporaryFolder();
  await cp(picoPath('llama'), join(folder, 'tiny'), { recursive: true });
  const short = ['--checkpoint', join(folder, 'tiny'), '--calibration-tokens', '64'];
  const start = (...flags: string[]) => startAndStop(folder, 'tiny', ...short, ...flags);

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

it('serves what it folded from the hub, when the hub is away', async () => {
  const folder = await temporaryFolder();
  const names = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'model.safetensors'];
  const files = await Promise.all(
    names.map(async (name) => [name, await readFile(join(picoPath('llama'), name))] as const),
  );
  const hub = await startHub('maker/pico', Object.fromEntries(files));
  onTestFinished(() => hub.close());
  vi.stubEnv('HF_ENDPOINT', hub.url);
  vi.stubEnv('HF_TOKEN', '');
  onTestFinished(() => void vi.unstubAllEnvs());
  const start = () =>
    startAndStop(folder, 'pico', '--checkpoint', 'hf:maker/pico', '--calibration-tokens', '64');
  expect(await start()).toContain('Published pico');
  await hub.close();
  const offline = await start();
  expect(offline).toContain('Using what was pulled before');
  expect(offline).toContain('pico is folded already');
}, 120_000);

it('folds the bundled model as gates found, unless told otherwise', async () => {
  const folder = await temporaryFolder();
  const start = (...flags: string[]) => startAndStop(folder, 'tales-5m', ...flags);
  const folded = async () => {
    const { store, name } = await openModelUrl(`file:${folder}/store/tales-5m`);
    return (await readManifest(store, name)).manifest;
  };
  expect(await start()).toContain('Published tales-5m');
  const manifest = await folded();
  expect(manifest.folding).toMatchObject({ method: 'gates', options: { plan: { method: 'gates' } } });
  expect(manifest.layers.map(({ source }) => source)).toEqual([0, 1, 2, 3, 4, 6, 8, 9, 10, 11]);
  expect(new Set(manifest.layers.map(({ block }) => block)).size).toBe(6);
  expect(manifest.quantization.down.bits).toBe(8);
  expect(await start()).toContain('tales-5m is folded already');

  expect(await start('--share', '2')).toContain('Published tales-5m');
  expect((await folded()).layers).toHaveLength(12);
  // Folded by other options, it is not the plan's.
  expect(await start()).toContain('Published tales-5m');

  const text = join(folder, 'tales.txt');
  await writeFile(text, stories.join(''));
  const perplexity = async (model: string) =>
    JSON.parse((await foldgate('eval', model, '--text', text, '--json')).stdout).perplexity;
  const whole = await perplexity('checkpoints/tales-5m');
  expect(await perplexity(`file:${folder}/store/tales-5m`)).toBeLessThan(1.1 * whole);
}, 240_000);
