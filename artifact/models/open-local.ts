import { type FetchOptions, fetchModel } from '../cache.ts';
import { type PromptWeights, withPromptWeights } from '../decoder/prompt-weights.ts';
import type { Manifest } from '../manifest.ts';
import { openModelUrl } from '../store/open.ts';
import type { TokenizerFiles } from '../tokenizer.ts';
import { readManifest } from './read.ts';
import { readTokenizerFiles } from './tokenizer-files.ts';

/** A published model whose blobs lie on the local disk. */
export interface LocalFoldedModel {
  manifest: Manifest;
  graphPath: string;
  tokenizerFiles: TokenizerFiles;
}

export interface OpenOptions extends FetchOptions {
  /** What prompts are to be read with. @default 'auto' */
  promptWeights?: PromptWeights | undefined;
}

/**
 * Finds a model by its URL and brings what it needs to the local disk.
 * @throws UsageError for weights for prompts that it does not have
 */
export async function openLocalModel(url: string, options: OpenOptions = {}): Promise<LocalFoldedModel> {
  const { store, name } = await openModelUrl(url);
  const published = await readManifest(store, name, options.signal ? { signal: options.signal } : {});
  const manifest = withPromptWeights(published.manifest, options.promptWeights);
  const local = await fetchModel(store, manifest, options);
  const tokenizerFiles = await readTokenizerFiles(manifest, local);
  return { manifest, graphPath: local.graphPath, tokenizerFiles };
}
