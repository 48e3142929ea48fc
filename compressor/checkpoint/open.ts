import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { NotFoundError, UsageError } from '../../artifact/errors.ts';
import { checkTokens } from './check-tokens.ts';
import type { Checkpoint } from './checkpoint.ts';
import { padHeads } from './pad-heads.ts';

/**
 * Opens a model: a Hugging Face folder, a GGUF file, or a folder with one GGUF file.
 * @throws InvalidDataError where the files are not what they claim to be
 * @throws NotFoundError where there is nothing
 * @throws UsageError where it is not clear what to open
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  const checkpoint = await openFiles(path);
  try {
    await checkTokens(checkpoint);
    return padHeads(checkpoint);
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

async function openFiles(path: string): Promise<Checkpoint> {
  const found = await stat(path).catch((cause: Error) => {
    throw new NotFoundError(`There is no checkpoint at ${path}. \`foldgate pull hf:ORG/NAME\` fetches one.`, {
      cause,
    });
  });
  if (!found.isDirectory()) return openGgufFile(path);
  const names = await readdir(path);
  if (names.includes('config.json')) {
    const { openHuggingFace } = await import('./huggingface/open.ts');
    return openHuggingFace(path);
  }
  const ggufs = names.filter((name) => name.endsWith('.gguf')).sort();
  if (ggufs.length === 1) return openGgufFile(join(path, ggufs[0]!));
  if (ggufs.length > 1)
    throw new UsageError(`${path} holds ${ggufs.length} GGUF files. Name one: ${ggufs.join(', ')}.`);
  throw new NotFoundError(
    `${path} holds no checkpoint: expected config.json and *.safetensors, or one .gguf file.`,
  );
}

async function openGgufFile(path: string): Promise<Checkpoint> {
  const { openGguf } = await import('./gguf/open.ts');
  return openGguf(path);
}
