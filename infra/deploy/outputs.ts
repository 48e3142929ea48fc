import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FoldgateError } from '../../artifact/errors.ts';

const folder = process.env.FOLDGATE_OUTPUTS || join(import.meta.dirname, '../../.cache/infra/outputs');

/** CDK's options to keep a stack's outputs for the commands that come later: a file a stack, since it starts anew. */
export async function keepOutputs(stack: string): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  return ['--outputs-file', fileOf(stack)];
}

/** @throws FoldgateError where the stack was not deployed from this checkout */
export async function outputOf(stack: string, name: string): Promise<string> {
  const text = await readFile(fileOf(stack), 'utf8').catch(() => '{}');
  const output = (JSON.parse(text) as Record<string, Record<string, string>>)[stack]?.[name];
  if (output !== undefined) return output;
  throw new FoldgateError(`The ${name} of ${stack} is not known: it was not deployed from this checkout.`);
}

const fileOf = (stack: string) => join(folder, `${stack}.json`);
