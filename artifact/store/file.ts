import { open, readdir, rm, rmdir, utimes } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { withResource } from '../dispose.ts';
import { InvalidDataError, NotFoundError } from '../errors.ts';
import { isMissing, statIfThere, temporaryPrefix, writeAtomically } from './atomic-file.ts';
import { checkDigest, digestOf, fileChunks } from './digest.ts';
import {
  type CallOptions,
  checkKey,
  type Digest,
  isKey,
  type ObjectInfo,
  type Store,
  type TransferOptions,
} from './store.ts';

/**
 * A folder as a store: a key is a path below it. Objects appear by rename or link, so a reader, or a
 * process killed at any moment, never leaves or sees half an object.
 */
export class FileStore implements Store {
  readonly url: string;
  readonly #root: string;

  constructor(folder: string) {
    this.#root = resolve(folder);
    this.url = `file:${this.#root}`;
  }

  localPath(key: string): string {
    checkKey(key);
    return join(this.#root, key);
  }

  async head(key: string, { signal }: CallOptions = {}): Promise<ObjectInfo | undefined> {
    signal?.throwIfAborted();
    const info = await statIfThere(this.localPath(key));
    return info?.isFile() ? { key, bytes: Number(info.size), modified: info.mtime } : undefined;
  }

  async read(
    key: string,
    { signal, maxBytes = Infinity }: CallOptions & { maxBytes?: number } = {},
  ): Promise<Uint8Array> {
    signal?.throwIfAborted();
    const file = await open(this.localPath(key)).catch((error) => this.#fail(key, error));
    return await withResource(file, async () => {
      const { size } = await file.stat();
      if (size > maxBytes) {
        throw new InvalidDataError(`${this.localPath(key)} has ${size} bytes, more than ${maxBytes}.`);
      }
      return await file.readFile();
    });
  }

  async digest(key: string, options: TransferOptions = {}): Promise<Digest> {
    return await digestOf(fileChunks(this.localPath(key)), options).catch((error) => this.#fail(key, error));
  }

  async download(key: string, path: string, expected: Digest, options: TransferOptions = {}): Promise<void> {
    const source = this.localPath(key);
    await copyVerified(source, path, expected, options).catch((error) => this.#fail(key, error));
  }

  async write(
    key: string,
    bytes: Uint8Array,
    { signal, ifAbsent }: CallOptions & { ifAbsent?: boolean } = {},
  ): Promise<boolean> {
    signal?.throwIfAborted();
    return await writeAtomically(this.localPath(key), (file) => file.writeFile(bytes), { ifAbsent });
  }

  async upload(
    key: string,
    path: string,
    expected: Digest,
    options: TransferOptions & { ifAbsent?: boolean } = {},
  ): Promise<boolean> {
    if (options.ifAbsent && (await this.head(key, options)) !== undefined) return false;
    return await copyVerified(path, this.localPath(key), expected, options);
  }

  async touch(key: string, { signal }: CallOptions = {}): Promise<boolean> {
    signal?.throwIfAborted();
    const now = new Date();
    try {
      await utimes(this.localPath(key), now, now);
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  async *list(prefix: string, { signal }: CallOptions = {}): AsyncIterable<ObjectInfo> {
    const folder = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    for await (const key of this.#walk(folder)) {
      signal?.throwIfAborted();
      if (!key.startsWith(prefix)) continue;
      const info = await this.head(key);
      if (info !== undefined) yield info; // undefined: removed since the folder was read
    }
  }

  async remove(key: string, { signal }: CallOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    const path = this.localPath(key);
    await rm(path, { force: true });
    // A removed model leaves no empty folders behind. rmdir refuses a folder that is in use.
    for (let folder = dirname(path); folder !== this.#root; folder = dirname(folder)) {
      const removed = await rmdir(folder).then(
        () => true,
        () => false,
      );
      if (!removed) break;
    }
  }

  /** Temporary files of writers that were killed. A living writer's file changes all the time. */
  async abortOrphans(
    olderThanMs: number,
    { signal, dryRun }: CallOptions & { dryRun?: boolean } = {},
  ): Promise<number> {
    let aborted = 0;
    for (const entry of await readFolder(this.#root, true)) {
      signal?.throwIfAborted();
      if (!entry.isFile() || !entry.name.startsWith(temporaryPrefix)) continue;
      const path = join(entry.parentPath, entry.name);
      const info = await statIfThere(path);
      if (info === undefined || Date.now() - Number(info.mtimeMs) < olderThanMs) continue;
      if (!dryRun) await rm(path, { force: true });
      aborted++;
    }
    return aborted;
  }

  /** Keys of the files below `folder` (empty, or ending in `/`), in byte order. */
  async *#walk(folder: string): AsyncIterable<string> {
    const entries = await readFolder(join(this.#root, folder));
    const names = entries
      .filter((entry) => isKey(entry.name)) // Not temporary files, nor what others put here.
      // `a.b` sorts before `a/b`: a folder takes part in the order with its slash.
      .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
      .sort();
    for (const name of names) {
      if (name.endsWith('/')) yield* this.#walk(folder + name);
      else yield folder + name;
    }
  }

  #fail(key: string, error: unknown): never {
    if (isMissing(error)) throw new NotFoundError(`There is no ${this.localPath(key)}.`);
    throw error;
  }
}

async function copyVerified(
  source: string,
  path: string,
  expected: Digest,
  options: TransferOptions & { ifAbsent?: boolean },
): Promise<boolean> {
  const copy = async (file: { writeFile(chunk: Uint8Array): Promise<void> }) => {
    const actual = await digestOf(fileChunks(source), options, (chunk) => file.writeFile(chunk));
    checkDigest(source, actual, expected);
  };
  return await writeAtomically(path, copy, { ifAbsent: options.ifAbsent });
}

async function readFolder(path: string, recursive = false) {
  try {
    return await readdir(path, { withFileTypes: true, recursive });
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
