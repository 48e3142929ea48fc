import { type ArrivingModel, beginFetch, type FetchOptions } from '../../artifact/cache.ts';
import { type Blob, bytesOf, graphsOf, type Manifest } from '../../artifact/manifest.ts';
import type { Store } from '../../artifact/store/store.ts';
import type { VersionPair } from './draft.ts';

export interface FetchedBlob {
  sha256: string;
  bytes: number;
  /** What it holds: `block`, `embedding`, `graph`, ... */
  kind: string;
}

export interface FetchVersionsOptions extends Pick<FetchOptions, 'cacheFolder' | 'cacheBytes' | 'signal'> {
  /** Bytes of blobs that are on this machine, of how many. */
  onProgress?: ((done: number, total: number) => void) | undefined;
  /** Told of each blob that came from the store, and of the milliseconds it took. */
  onFetched?: ((blob: FetchedBlob, ms: number) => void) | undefined;
}

/** A model and what drafts for it, on their way. `complete` and `release` are about both. */
export interface ArrivingPair extends ArrivingModel {
  /** Where the drafting model's graph will be. */
  draftGraphPath: string | undefined;
}

/**
 * Sets the blobs of a model, and of one that drafts for it, on their way; those that both have come once.
 * @throws as `beginFetch`
 */
export async function beginFetchOf(
  store: Store,
  { manifest, draft }: VersionPair,
  { onProgress, onFetched, ...options }: FetchVersionsOptions,
): Promise<ArrivingPair> {
  const manifests = draft ? [manifest, draft.manifest] : [manifest];
  const fetchOptions = {
    ...options,
    onProgress: counted(manifests, onProgress),
    onFetched:
      onFetched &&
      ((blob: Blob, ms: number) => onFetched({ ...blob, kind: kindOf(manifests, blob.sha256) }, ms)),
  };
  const model = await beginFetch(store, manifest, fetchOptions);
  if (!draft) return { ...model, draftGraphPath: undefined };
  model.complete.catch(() => {}); // told of by both together
  try {
    const drafting = await beginFetch(store, draft.manifest, fetchOptions);
    return {
      ...model,
      draftGraphPath: drafting.graphPath,
      complete: Promise.all([model.complete, drafting.complete]).then(() => {}),
      release: async () => void (await Promise.all([model.release(), drafting.release()])),
    };
  } catch (error) {
    await model.release();
    throw error;
  }
}

function kindOf(manifests: readonly Manifest[], sha256: string): string {
  for (const manifest of manifests) {
    const { int8Cache, promptWeights, weights } = manifest;
    if (graphsOf(manifest).includes(sha256)) return 'graph';
    if (sha256 === int8Cache?.scales.sha256) return 'cache-scales';
    if (promptWeights?.blocks.some((blob) => blob.sha256 === sha256)) return 'prompt-block';
    const weight = weights.find((blob) => blob.sha256 === sha256);
    if (weight) return weight.kind;
  }
  return 'tokenizer';
}

function counted(
  manifests: readonly Manifest[],
  onProgress: FetchVersionsOptions['onProgress'],
): (bytes: number) => void {
  const total = manifests.reduce((sum, manifest) => sum + bytesOf(manifest), 0);
  let done = 0;
  return (bytes) => {
    done += bytes;
    onProgress?.(done, total);
  };
}
