import { mapConcurrently } from '../concurrency.ts';
import { InvalidDataError, ifThere } from '../errors.ts';
import { prefixesPrefix } from '../models/layout.ts';
import type { CallOptions, ObjectInfo, Store } from '../store/store.ts';
import { maxEntryBytes, type NamedPrefix, parseEntry } from './entry.ts';

/** Entries read at the same time. */
const parallelEntries = 8;

/** Where an entry lies; `models/NAME/prefixes/GRAPH/PREFIX.json`. */
const entryPattern = /^models\/([^/]+)\/prefixes\/([0-9a-f]{64})\/([^/]+)\.json$/;

/** An entry that is there, unread. */
export interface EntryKey {
  /** The model's name. */
  model: string;
  /** The sha256 of the graph it was computed by. */
  graph: string;
  /** Its own name. */
  name: string;
  info: ObjectInfo;
}

/** @returns undefined for what is no entry's key */
function entryKeyOf(info: ObjectInfo): EntryKey | undefined {
  const [, model, graph, name] = entryPattern.exec(info.key) ?? [];
  return model && graph && name ? { model, graph, name, info } : undefined;
}

/** The entries under a prefix of keys: those of a graph of a model (`prefixesPrefix`), or of all models. */
export async function listEntries(
  store: Store,
  under: string,
  options: CallOptions = {},
): Promise<EntryKey[]> {
  const found: EntryKey[] = [];
  for await (const info of store.list(under, options)) {
    const key = entryKeyOf(info);
    if (key) found.push(key);
  }
  return found;
}

/**
 * @throws NotFoundError where it was removed meanwhile; InvalidDataError where it is damaged, or another's: what is
 * computed by one graph means nothing to another.
 */
export async function readEntry(
  store: Store,
  { info, graph, name }: EntryKey,
  options: CallOptions = {},
): Promise<NamedPrefix> {
  const where = `${info.key} in ${store.url}`;
  const bytes = await store.read(info.key, { ...options, maxBytes: maxEntryBytes });
  const entry = parseEntry(bytes, where);
  if (entry.graph !== graph) {
    throw new InvalidDataError(
      `${where} is a prefix of graph ${entry.graph}: it was moved. Remove the prefix and add it again.`,
    );
  }
  return { ...entry, name };
}

/**
 * The prefixes that were computed by these very graphs, graph by graph, in the order of their names.
 * @throws InvalidDataError for a damaged entry
 */
export async function readPrefixes(
  store: Store,
  model: string,
  graphs: readonly string[],
  options: CallOptions = {},
): Promise<NamedPrefix[]> {
  const read = (key: EntryKey, signal: AbortSignal) => ifThere(readEntry(store, key, { signal }));
  const ofGraph = (graph: string) => listEntries(store, prefixesPrefix(model, graph), options);
  const keys = await Promise.all(graphs.map(ofGraph));
  const entries = await mapConcurrently(keys.flat(), parallelEntries, read, options.signal);
  return entries.filter((entry) => entry !== undefined);
}
