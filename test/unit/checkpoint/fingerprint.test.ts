import { cp, rename, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { fingerprint } from '../../../compressor/checkpoint/fingerprint.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { type PicoForm, picoPath } from '../../fixtures/pico.ts';
import { writeFiles } from '../../fixtures/safetensors.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

async function printOf(path: string): Promise<string> {
  const checkpoint = await openCheckpoint(path);
  await checkpoint.close();
  return fingerprint(checkpoint);
}

/** A copy whose files have a time of their own, so that any later change shows. */
async function copyOf(form: PicoForm): Promise<string> {
  const folder = await temporaryFolder();
  await cp(picoPath(form), folder, { recursive: true });
  return folder;
}

it.each([
  'config.json',
  'tokenizer.json',
  'model.safetensors.index.json',
  'model-00001-of-00003.safetensors',
  'model-00003-of-00003.safetensors',
])('is another when %s of a sharded checkpoint was replaced', async (name) => {
  const folder = await copyOf('llama-sharded');
  const before = await printOf(folder);
  expect(await printOf(folder)).toBe(before);
  await utimes(join(folder, name), 1, 1); // another revision's file, of the very same size
  expect(await printOf(folder)).not.toBe(before);
});

it('is another when a file that was not there appears, or one goes', async () => {
  const folder = await copyOf('llama');
  const before = await printOf(folder);
  await writeFiles(folder, { 'chat_template.jinja': 'x' });
  expect(await printOf(folder)).not.toBe(before);
  await rm(join(folder, 'chat_template.jinja'));
  expect(await printOf(folder)).toBe(before);
  await rm(join(folder, 'generation_config.json'));
  expect(await printOf(folder)).not.toBe(before);
});

it('follows a GGUF file, and says nothing of where it lies', async () => {
  const folder = await temporaryFolder();
  const path = join(folder, 'a.gguf');
  await cp(picoPath('llama-q8_0.gguf'), path);
  const before = await printOf(path);
  expect(before).toMatch(/^[0-9a-f]{32}$/);
  await cp(picoPath('llama-q4_0.gguf'), join(folder, 'new'));
  await rename(join(folder, 'new'), path);
  expect(await printOf(path)).not.toBe(before);
});
