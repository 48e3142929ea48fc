import { InvalidDataError, ifThere, NotFoundError } from '../errors.ts';
import { type Manifest, parseManifest } from '../manifest.ts';
import { sha256 } from '../store/digest.ts';
import type { CallOptions, Store } from '../store/store.ts';
import {
  checkModelName,
  manifestKey,
  maxManifestBytes,
  modelPrefix,
  type Pointer,
  parsePointer,
  pointerKey,
  pointerLimit,
} from './layout.ts';

/** Names shown in an error; a shared store can hold thousands. */
const namesShown = 20;

export interface PublishedModel {
  manifest: Manifest;
  /** The sha256 of the manifest: the model's version. */
  digest: string;
  publishedAt: Date;
}

/**
 * The version of a model that its name means now.
 * @throws NotFoundError listing the names that exist; InvalidDataError for a damaged pointer or manifest.
 */
export async function readManifest(
  store: Store,
  name: string,
  options: CallOptions = {},
): Promise<PublishedModel> {
  checkModelName(name);
  // A version can be superseded and collected between the two reads: then the pointer has moved on.
  for (let previous: string | undefined; ; ) {
    const pointer = await readPointer(store, name, options);
    if (pointer === undefined) throw await notFound(store, name, options);
    try {
      const manifest = await readVersion(store, name, pointer.manifest, options);
      return { manifest, digest: pointer.manifest, publishedAt: new Date(pointer.publishedAt) };
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
      if (previous === pointer.manifest) {
        throw new InvalidDataError(
          `${name} in ${store.url} points to version ${pointer.manifest}, which is gone. Publish it again.`,
          { cause: error },
        );
      }
      previous = pointer.manifest;
    }
  }
}

/** @throws NotFoundError; InvalidDataError where the manifest is not the one its name promises. */
export async function readVersion(
  store: Store,
  name: string,
  version: string,
  options: CallOptions = {},
): Promise<Manifest> {
  const key = manifestKey(name, version);
  const where = `${key} in ${store.url}`;
  const bytes = await store.read(key, { ...options, maxBytes: maxManifestBytes });
  const actual = sha256(bytes);
  if (actual !== version) {
    throw new InvalidDataError(`${where} has sha256 ${actual}: it was changed. Publish the model again.`);
  }
  return parseManifest(bytes, where);
}

/** @returns undefined where nothing is published under `name`. */
export async function readPointer(
  store: Store,
  name: string,
  options: CallOptions = {},
): Promise<Pointer | undefined> {
  const key = pointerKey(name);
  const bytes = await ifThere(store.read(key, { ...options, ...pointerLimit }));
  return bytes && parsePointer(bytes, `${key} in ${store.url}`);
}

/** The names of all published models, in order. */
export async function listNames(store: Store, options: CallOptions = {}): Promise<string[]> {
  const names: string[] = [];
  for await (const { key } of store.list(modelPrefix, options)) {
    const [name, file, ...rest] = key.slice(modelPrefix.length).split('/');
    if (name !== undefined && file === 'current.json' && rest.length === 0) names.push(name);
  }
  return names.sort(); // The keys' order has "a-b/" before "a/".
}

/** The error for a name that nothing is published under. */
export async function notFound(store: Store, name: string, options: CallOptions): Promise<NotFoundError> {
  const names = await listNames(store, options);
  const more = names.length > namesShown ? ` and ${names.length - namesShown} more` : '';
  const there =
    names.length === 0
      ? 'There are no models at all; is it the right store?'
      : `There are: ${names.slice(0, namesShown).join(', ')}${more}.`;
  return new NotFoundError(`There is no model ${name} in ${store.url}. ${there}`);
}
