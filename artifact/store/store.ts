/**
 * Object storage: the port that the file, S3 and memory drivers implement. Keys are relative to the
 * store's root, with `/` between parts. Every driver passes the same contract suite.
 */
export interface Store {
  /** The root as the user wrote it, normalised: `file:/abs/models`, `s3://bucket/prefix`, `memory:`. */
  readonly url: string;

  /** Size and time of an object, or undefined where there is none. */
  head(key: string): Promise<ObjectInfo | undefined>;

  /** A whole small object. @throws NotFoundError; InvalidDataError when larger than `maxBytes`. */
  read(key: string, options?: { maxBytes?: number; signal?: AbortSignal }): Promise<Uint8Array>;

  /**
   * An object into a local file: parallel ranged reads into a preallocated file beside `path`, sha256
   * verified, then renamed to `path`. Readers of `path` never see half a file.
   * @throws NotFoundError; InvalidDataError when size or digest differ from `expected`.
   */
  download(key: string, path: string, expected: Digest, options?: TransferOptions): Promise<void>;

  /**
   * A whole small object. With `ifAbsent`, an existing object stays as it is.
   * @returns false when `ifAbsent` found an object there.
   */
  write(key: string, bytes: Uint8Array, options?: { ifAbsent?: boolean; signal?: AbortSignal }): Promise<boolean>;

  /** A local file into an object (multipart where large). Same rules as `write`. */
  upload(key: string, path: string, options?: TransferOptions & { ifAbsent?: boolean }): Promise<boolean>;

  /** All objects whose key starts with `prefix`, in key order. */
  list(prefix: string, options?: { signal?: AbortSignal }): AsyncIterable<ObjectInfo>;

  /** Deletes an object; no error where there is none. */
  remove(key: string): Promise<void>;

  /**
   * Aborts uploads that nobody finished and that began more than `olderThanMs` ago.
   * @returns how many.
   */
  abortOrphans(olderThanMs: number): Promise<number>;

  /**
   * Where the object lies on this machine's own disk, if it does (file driver): such blobs are
   * memory-mapped in place instead of copied into the cache.
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

export interface TransferOptions {
  signal?: AbortSignal;
  /** Bytes moved since the last call. */
  onProgress?: (bytes: number) => void;
}
