import type { CallOptions, Store } from '../store/store.ts';
import { checkModelName, manifestPrefix, pointerKey, prefixesPrefix } from './layout.ts';
import { notFound } from './read.ts';

/**
 * Removes a model: the pointer first, so that from then on nobody finds it, then its prefixes, then every version's
 * manifest.
 * Its blobs stay until `collectGarbage`, for other models may share them. Run again after an interruption,
 * it removes the rest.
 * @returns how many versions there were.
 * @throws NotFoundError listing the names that exist.
 */
export async function removeModel(store: Store, name: string, options: CallOptions = {}): Promise<number> {
  checkModelName(name);
  const pointer = await store.head(pointerKey(name), options);
  if (pointer !== undefined) await store.remove(pointerKey(name), options);
  for await (const { key } of store.list(prefixesPrefix(name), options)) await store.remove(key, options);
  let versions = 0;
  for await (const { key } of store.list(manifestPrefix(name), options)) {
    await store.remove(key, options);
    versions++;
  }
  if (pointer === undefined && versions === 0) throw await notFound(store, name, options);
  return versions;
}
