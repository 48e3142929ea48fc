import { readFile } from 'node:fs/promises';
import { InvalidDataError, NotFoundError } from '../errors.ts';
import { writeAtomically } from './atomic-file.ts';
import { checkDigest, sha256 } from './digest.ts';
import {
  type CallOptions,
  checkKey,
  type Digest,
  type ObjectInfo,
  type Store,
  type TransferOptions,
} from './store.ts';

/** A store that ends with the process: for tests, and the shortest statement of what a store does. */
export class MemoryStore implements Store {
  readonly url = 'memory:';
  /** Open to tests, which break and age objects through it. */
  readonly objects = new Map<string, { bytes: Uint8Array; modified: Date }>();

  async head(key: string, { signal }: CallOptions = {}): Promise<ObjectInfo | undefined> {
    signal?.throwIfAborted();
    checkKey(key);
    const object = this.objects.get(key);
    return object && { key, bytes: object.bytes.length, modified: object.modified };
  }

  async read(
    key: string,
    { signal, maxBytes = Infinity }: CallOptions & { maxBytes?: number } = {},
  ): Promise<Uint8Array> {
    signal?.throwIfAborted();
    const { bytes } = this.#get(key);
    if (bytes.length > maxBytes) {
      throw new InvalidDataError(`${key} in ${this.url} has ${bytes.length} bytes, more than ${maxBytes}.`);
    }
    return bytes.slice();
  }

  async download(key: string, path: string, expected: Digest, options: TransferOptions = {}): Promise<void> {
    const { bytes } = this.#get(key);
    checkDigest(`${key} in ${this.url}`, await this.digest(key, options), expected);
    await writeAtomically(path, async (file) => file.writeFile(bytes));
  }

  async digest(key: string, { signal, onProgress }: TransferOptions = {}): Promise<Digest> {
    signal?.throwIfAborted();
    const { bytes } = this.#get(key);
    onProgress?.(bytes.length);
    return { sha256: sha256(bytes), bytes: bytes.length };
  }

  async write(
    key: string,
    bytes: Uint8Array,
    { signal, ifAbsent }: CallOptions & { ifAbsent?: boolean } = {},
  ): Promise<boolean> {
    signal?.throwIfAborted();
    checkKey(key);
    if (ifAbsent && this.objects.has(key)) return false;
    this.objects.set(key, { bytes: bytes.slice(), modified: new Date() });
    return true;
  }

  async upload(
    key: string,
    path: string,
    expected: Digest,
    options: TransferOptions & { ifAbsent?: boolean } = {},
  ): Promise<boolean> {
    checkKey(key);
    if (options.ifAbsent && this.objects.has(key)) return false;
    const bytes = await readFile(path);
    checkDigest(path, { sha256: sha256(bytes), bytes: bytes.length }, expected);
    const written = await this.write(key, bytes, options);
    if (written) options.onProgress?.(bytes.length);
    return written;
  }

  async touch(key: string): Promise<boolean> {
    checkKey(key);
    const object = this.objects.get(key);
    if (object) object.modified = new Date();
    return object !== undefined;
  }

  async *list(prefix: string, { signal }: CallOptions = {}): AsyncIterable<ObjectInfo> {
    // Keys are ASCII, so JavaScript's order is the byte order of S3.
    for (const key of [...this.objects.keys()].sort()) {
      signal?.throwIfAborted();
      const object = this.objects.get(key);
      if (object && key.startsWith(prefix)) {
        yield { key, bytes: object.bytes.length, modified: object.modified };
      }
    }
  }

  async remove(key: string): Promise<void> {
    checkKey(key);
    this.objects.delete(key);
  }

  async abortOrphans(): Promise<number> {
    return 0;
  }

  localPath(): undefined {
    return undefined;
  }

  #get(key: string): { bytes: Uint8Array; modified: Date } {
    checkKey(key);
    const object = this.objects.get(key);
    if (object === undefined) throw new NotFoundError(`There is no ${key} in ${this.url}.`);
    return object;
  }
}
