import { beginFetch } from '../cache.ts';
import { withPromptWeights } from '../decoder/prompt-weights.ts';
import type { Store } from '../store/store.ts';
import type { OpenOptions } from './open-local.ts';
import { readManifest } from './read.ts';

/**
 * Sets a model's blobs on their way into the cache and returns when the first is here: by then others have been
 * asked for, and travel however busy this thread is. Whoever loads the model meanwhile joins the downloads, and
 * meets what fails among them.
 * @throws NotFoundError, InvalidDataError for the manifest
 */
export async function prefetch(store: Store, name: string, options: OpenOptions): Promise<void> {
  if (store.localPath('blobs') !== undefined) return; // nothing to bring
  const published = await readManifest(store, name, { signal: options.signal });
  const manifest = withPromptWeights(published.manifest, options.promptWeights);
  const model = await beginFetch(store, manifest, options);
  model.complete.catch(() => {});
  await model.arrived(manifest.graph.sha256).catch(() => {});
}
