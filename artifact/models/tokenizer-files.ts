import { readFile } from 'node:fs/promises';
import type { LocalModel } from '../cache.ts';
import type { Manifest } from '../manifest.ts';
import type { TokenizerFiles } from '../tokenizer.ts';

/** The tokenizer of a model whose blobs are on the local disk. */
export async function readTokenizerFiles(
  { tokenizer: { 'tokenizer.json': json, 'tokenizer_config.json': config } }: Manifest,
  local: LocalModel,
): Promise<TokenizerFiles> {
  return {
    'tokenizer.json': await readFile(local.file(json.sha256)),
    ...(config && { 'tokenizer_config.json': await readFile(local.file(config.sha256)) }),
  };
}
