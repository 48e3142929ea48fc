import { ifThere, NotFoundError, UsageError } from '../errors.ts';
import { checkModelName, prefixKey } from '../models/layout.ts';
import { type BlobSource, ensureBlob } from '../models/publish.ts';
import type { CallOptions, Store, TransferOptions } from '../store/store.ts';
import { checkPrefixName, formatEntry, maxEntryBytes, type PrefixEntry, parseEntry } from './entry.ts';
import { readPrefixes } from './read.ts';

/**
 * Publishes a computed prefix beside its model: the blob first, the entry last, so that no reader ever sees half of
 * it. Run again after an interruption, it does the rest.
 * @param file holds the keys and values
 * @throws UsageError where the name is taken by other tokens; InvalidDataError where the file is not the entry's blob
 */
export async function publishPrefix(
  store: Store,
  model: string,
  name: string,
  entry: PrefixEntry,
  file: string,
  options: TransferOptions = {},
): Promise<void> {
  const key = keyOf(model, name, entry.graph);
  const bytes = formatEntry(entry);
  parseEntry(bytes, `The entry of ${name}`);
  const { signal } = options;
  const there = await entryAt(store, key, options);
  if (there && there.tokens.join() !== entry.tokens.join()) {
    throw new UsageError(
      `${model} has another prefix ${name} (${there.tokens.length} tokens). Remove it first, or give another name.`,
    );
  }
  const source: BlobSource = { withFile: (_, use) => use(file) };
  // Also where a blob of that name and size is there: it may be what was found damaged.
  await ensureBlob(store, entry.blob, source, { ...options, rewrite: true });
  // Where it was there, it is replaced by what was computed now, maybe by another machine's kernels.
  if (await store.write(key, bytes, { ifAbsent: !there, signal })) return;
  throw new UsageError(
    `Somebody has just added a prefix ${name} to ${model}. Look at it, and run this again.`,
  );
}

async function entryAt(store: Store, key: string, { signal }: CallOptions): Promise<PrefixEntry | undefined> {
  const bytes = await ifThere(store.read(key, { signal, maxBytes: maxEntryBytes }));
  return bytes && parseEntry(bytes, `${key} in ${store.url}`);
}

/**
 * Takes the prefixes of these graphs from a model to its copy, blobs first.
 * @param source where their blobs come from
 */
export async function copyPrefixes(
  from: { store: Store; name: string },
  to: { store: Store; name: string },
  graphs: readonly string[],
  source: BlobSource,
  options: TransferOptions & { rewrite?: boolean | undefined } = {},
): Promise<void> {
  for (const { name, ...entry } of await readPrefixes(from.store, from.name, graphs, options)) {
    await ensureBlob(to.store, entry.blob, source, options);
    await to.store.write(keyOf(to.name, name, entry.graph), formatEntry(entry), { signal: options.signal });
  }
}

/**
 * Removes a prefix of the model's current version, of each of its graphs; the blobs stay until `collectGarbage`.
 * @throws NotFoundError
 */
export async function removePrefix(
  store: Store,
  model: string,
  graphs: readonly string[],
  name: string,
  options: CallOptions = {},
): Promise<void> {
  const keys = graphs.map((graph) => keyOf(model, name, graph));
  const found = await Promise.all(keys.map((key) => store.head(key, options)));
  if (found.every((info) => info === undefined)) {
    throw new NotFoundError(
      `${model} has no prefix ${name} of its current version. See "foldgate prefixes list".`,
    );
  }
  for (const key of keys) await store.remove(key, options);
}

function keyOf(model: string, name: string, graph: string): string {
  checkModelName(model);
  checkPrefixName(name);
  return prefixKey(model, graph, name);
}
