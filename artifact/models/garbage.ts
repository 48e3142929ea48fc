import { mapConcurrently } from '../concurrency.ts';
import { ifThere } from '../errors.ts';
import { blobsOf, graphsOf } from '../manifest.ts';
import { type EntryKey, listEntries, readEntry } from '../prefixes/read.ts';
import type { CallOptions, ObjectInfo, Store } from '../store/store.ts';
import { blobKey, blobPrefix, modelPrefix } from './layout.ts';
import { readPointer, readVersion } from './read.ts';

/** Nothing younger is ever deleted: the blobs of a publication exist before the manifest that names them. */
const defaultAgeMs = 24 * 60 * 60 * 1000;

const parallelCalls = 8;

const manifestPattern = /^models\/([^/]+)\/manifests\/([0-9a-f]{64})\.json$/;
const blobPattern = /^blobs\/[0-9a-f]{64}$/;

export interface GarbageOptions extends CallOptions {
  /** Milliseconds since the last change. @default 24 h */
  olderThanMs?: number | undefined;
  /** Reports what would go, and deletes nothing. @default false */
  dryRun?: boolean | undefined;
  /** Also versions of a model that its name no longer points to. @default false */
  superseded?: boolean | undefined;
}

export interface Garbage {
  /** Superseded manifests. */
  manifests: ObjectInfo[];
  /** Entries of prefixes that no version of their model can use. */
  prefixes: ObjectInfo[];
  /** Blobs that neither a manifest nor a prefix names. */
  blobs: ObjectInfo[];
  /** Uploads that nobody finished. */
  uploads: number;
}

/**
 * Deletes the blobs that neither a manifest nor a usable prefix names, prefixes of graphs that no version of their
 * model has, and the uploads that nobody finished, older than the given age.
 *
 * It may run while models are published: a publication touches the old blobs it relies on, writes its
 * manifest and then looks for every blob once more; this reads the manifests after the blobs, and each
 * blob's age right before it deletes it. So a blob is lost only where one collection's deletion hangs for a
 * whole publication; the next publication of that model repairs it.
 * @returns what was (or would be) deleted.
 * @throws InvalidDataError where a manifest or a prefix's entry cannot be read: it may name anything, so no blob is deleted.
 */
export async function collectGarbage(store: Store, options: GarbageOptions = {}): Promise<Garbage> {
  const { olderThanMs = defaultAgeMs, dryRun = false, superseded = false, signal } = options;
  const isOld = (info: ObjectInfo) => Date.now() - info.modified.getTime() >= olderThanMs;
  const remove = async (info: ObjectInfo, signal: AbortSignal): Promise<ObjectInfo[]> => {
    if (dryRun) return [info];
    const now = await store.head(info.key, { signal });
    if (now === undefined || !isOld(now)) return []; // Touched or gone since.
    await store.remove(info.key, { signal });
    return [info];
  };
  const removeAll = async (infos: ObjectInfo[]) =>
    (await mapConcurrently(infos, parallelCalls, remove, signal)).flat();

  const old = superseded ? (await supersededManifests(store, signal)).filter(isOld) : [];
  const manifests = await removeAll(old);
  const blobs: ObjectInfo[] = [];
  for await (const info of store.list(blobPrefix, { signal })) {
    if (blobPattern.test(info.key) && isOld(info)) blobs.push(info);
  }
  const gone = new Set(manifests.map(({ key }) => key));
  const { named, usable } = await namedByManifests(store, gone, signal);
  const entries = await listEntries(store, modelPrefix, { signal });
  const isUsable = ({ model, graph }: EntryKey) => usable.has(graphOf(model, graph));
  const useless = entries.filter((entry) => !isUsable(entry) && isOld(entry.info));
  const prefixes = await removeAll(useless.map(({ info }) => info));
  const removed = new Set(prefixes.map(({ key }) => key));
  const kept = entries.filter(({ info }) => !removed.has(info.key));
  for (const key of await namedByPrefixes(store, kept, signal)) named.add(key);
  return {
    manifests,
    prefixes,
    blobs: await removeAll(blobs.filter(({ key }) => !named.has(key))),
    uploads: await store.abortOrphans(olderThanMs, { dryRun, signal }),
  };
}

/** A graph of a model, as one text. */
const graphOf = (model: string, graph: string) => `${model}/${graph}`;

/** The keys of all blobs that a manifest names, and the graphs of all models; manifests in `except` left out. */
async function namedByManifests(
  store: Store,
  except: ReadonlySet<string>,
  signal: AbortSignal | undefined,
): Promise<{ named: Set<string>; usable: Set<string> }> {
  const manifests = (await listManifests(store, signal)).filter(({ info }) => !except.has(info.key));
  const read = async ({ name, version }: ManifestKey, signal: AbortSignal) => {
    const manifest = await ifThere(readVersion(store, name, version, { signal }));
    if (!manifest) return [];
    const graphs = graphsOf(manifest).map((graph) => graphOf(name, graph));
    return [{ graphs, blobs: blobsOf(manifest) }];
  };
  const found = (await mapConcurrently(manifests, parallelCalls, read, signal)).flat();
  return {
    named: new Set(found.flatMap(({ blobs }) => blobs.map((blob) => blobKey(blob.sha256)))),
    usable: new Set(found.flatMap(({ graphs }) => graphs)),
  };
}

/** The keys of the blobs that these entries name. */
async function namedByPrefixes(
  store: Store,
  entries: readonly EntryKey[],
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const read = (entry: EntryKey, signal: AbortSignal) => ifThere(readEntry(store, entry, { signal }));
  const found = await mapConcurrently(entries, parallelCalls, read, signal);
  return found.flatMap((entry) => (entry ? [blobKey(entry.blob.sha256)] : []));
}

/** Versions that no pointer names, those of removed models too. */
async function supersededManifests(store: Store, signal: AbortSignal | undefined): Promise<ObjectInfo[]> {
  const manifests = await listManifests(store, signal);
  const names = [...new Set(manifests.map(({ name }) => name))];
  // Read after the manifests were listed: a version that became current since is not in the list.
  const pointers = await mapConcurrently(
    names,
    parallelCalls,
    async (name, signal) => [name, (await readPointer(store, name, { signal }))?.manifest] as const,
    signal,
  );
  const current = new Map(pointers);
  return manifests.filter(({ name, version }) => current.get(name) !== version).map(({ info }) => info);
}

interface ManifestKey {
  name: string;
  version: string;
  info: ObjectInfo;
}

async function listManifests(store: Store, signal: AbortSignal | undefined): Promise<ManifestKey[]> {
  const found: ManifestKey[] = [];
  for await (const info of store.list(modelPrefix, { signal })) {
    const [, name, version] = manifestPattern.exec(info.key) ?? [];
    if (name !== undefined && version !== undefined) found.push({ name, version, info });
  }
  return found;
}
