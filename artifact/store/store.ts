import { UsageError } from '../errors.ts';

/**
 * Object storage: the port that the file, S3 and memory drivers implement. Keys are relative to the
 * store's root, with `/` between parts. Every driver passes the same contract suite.
 *
 * Every method throws NotFoundError where the bucket is missing, and FoldgateError, with what to do about
 * it, where the storage refuses or cannot be reached.
 */
export interface Store {
  /** The root as the user wrote it, normalised: `file:/abs/models`, `s3://bucket/prefix`, `memory:`. */
  readonly url: string;

  /** Size and time of an object, or undefined where there is none. */
  head(key: string, options?: CallOptions): Promise<ObjectInfo | undefined>;

  /**
   * A whole small object.
   * @throws NotFoundError; InvalidDataError when larger than `maxBytes`.
   */
  read(key: string, options?: CallOptions & { maxBytes?: number }): Promise<Uint8Array>;

  /**
   * An object into a local file: parallel ranged reads into a preallocated file beside `path`, sha256
   * verified, then renamed to `path`. Readers of `path` never see half a file.
   * @throws NotFoundError; InvalidDataError when size or digest differ from `expected`.
   */
  download(key: string, path: string, expected: Digest, options?: TransferOptions): Promise<void>;

  /**
   * Reads a whole object, keeps none of it, and returns its real size and digest.
   * @throws NotFoundError
   */
  digest(key: string, options?: TransferOptions): Promise<Digest>;

  /**
   * A whole small object. Readers see the old object or the new one, never a part. With `ifAbsent`, an
   * existing object stays as it is.
   * @returns false when `ifAbsent` found an object there.
   */
  write(key: string, bytes: Uint8Array, options?: CallOptions & { ifAbsent?: boolean }): Promise<boolean>;

  /**
   * A local file into an object (multipart where large). Same rules as `write`. The file is hashed while it
   * is read, so that a file that is not `expected` never becomes an object.
   * @throws InvalidDataError when the file's size or digest differ from `expected`.
   */
  upload(
    key: string,
    path: string,
    expected: Digest,
    options?: TransferOptions & { ifAbsent?: boolean },
  ): Promise<boolean>;

  /**
   * Makes an object's time of last change now; its bytes stay. Whoever relies on an old object does this
   * first, so that no garbage collection takes it for forgotten.
   * @returns false where there is none.
   */
  touch(key: string, options?: CallOptions): Promise<boolean>;

  /** All objects whose key starts with `prefix`, in key order. */
  list(prefix: string, options?: CallOptions): AsyncIterable<ObjectInfo>;

  /** Deletes an object; no error where there is none. */
  remove(key: string, options?: CallOptions): Promise<void>;

  /**
   * Aborts uploads that nobody finished and that began more than `olderThanMs` ago.
   * @returns how many.
   */
  abortOrphans(olderThanMs: number, options?: CallOptions & { dryRun?: boolean }): Promise<number>;

  /**
   * Where the object lies on this machine's own disk, if the store is there (file driver): such blobs are
   * memory-mapped in place instead of copied into the cache. Says nothing about whether it exists.
   */
  localPath(key: string): string | undefined;
}

export interface ObjectInfo {
  key: string;
  bytes: number;
  /** Last change. */
  modified: Date;
}

export interface Digest {
  /** Lower-case hex. */
  sha256: string;
  bytes: number;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
}

export interface TransferOptions extends CallOptions {
  /** Bytes moved since the last call. */
  onProgress?: ((bytes: number) => void) | undefined;
}

// Plain enough for every file system and every S3 server without escaping. No part starts with a dot, so
// `..` is impossible and the file driver's temporary files are never objects.
const keyPattern = /^[A-Za-z0-9][A-Za-z0-9._-]*(\/[A-Za-z0-9][A-Za-z0-9._-]*)*$/;

export function isKey(key: string): boolean {
  return keyPattern.test(key);
}

/** @throws UsageError for a key that no driver may see. */
export function checkKey(key: string): void {
  if (!isKey(key)) {
    throw new UsageError(
      `${JSON.stringify(key)} is no key of a store. Expected parts of letters, digits, ".", "_" and "-", ` +
        'each starting with a letter or digit, joined by "/".',
    );
  }
}
