import { type FetchOptions, fetchModel } from '../cache.ts';
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

/** Finds a model by its URL and brings what it needs to the local disk. */
export async function openLocalModel(url: string, options: FetchOptions = {}): Promise<LocalFoldedModel> {
  const { store, name } = await openModelUrl(url);
  const { manifest } = await readManifest(store, name, options.signal ? { signal: options.signal } : {});
  const local = await fetchModel(store, manifest, options);
  const tokenizerFiles = await readTokenizerFiles(manifest, local);
  return { manifest, graphPath: local.graphPath, tokenizerFiles };
}
