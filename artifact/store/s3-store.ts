import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { FoldgateError, InvalidDataError, NotFoundError } from '../errors.ts';
import { writeAtomically } from './atomic-file.ts';
import { checkDigest, digestOf } from './digest.ts';
import { sendParts } from './parts.ts';
import { fetchRanges, type OpenRange, readRange } from './ranges.ts';
import { retrying } from './retry.ts';
import { S3Bucket, type S3Head } from './s3.ts';
import { explain, isConflict, isMissingObject, isPreconditionFailed, isUnsupported } from './s3-errors.ts';
import { abortUpload, uploadMultipart } from './s3-multipart.ts';
import {
  type CallOptions,
  checkKey,
  type Digest,
  type ObjectInfo,
  type Store,
  type TransferOptions,
} from './store.ts';
import { formatStoreUrl, type StoreLocation } from './url.ts';

export interface S3Options {
  /** Files up to this many bytes are one request, larger ones parts of this size. S3's least is 5 MiB. */
  partBytes?: number;
  /** Bytes of one ranged read. */
  rangeBytes?: number;
  /** Milliseconds without a byte after which a connection counts as dead. */
  idleMs?: number;
}

const defaults = {
  // Large enough that a request's round trip is small against its transfer; four of them for each of four
  // blobs in flight hold 128 MiB while publishing.
  partBytes: 8 * 1024 * 1024,
  rangeBytes: 8 * 1024 * 1024,
  idleMs: 20_000,
} as const;

const parallelRanges = 8;

/** How often a transfer starts over because another writer was at the same object at the same time. */
const maxRestarts = 3;
const restartDelayMs = 200;

/**
 * For a server that never answered, which is likelier misnamed than restarting: enough for a stumble, without
 * letting people wait.
 */
const firstAttempts = 2;

/** S3 copies no larger object in one request. */
const maxCopyBytes = 5 * 1024 ** 3;

/** Opens an S3 bucket, or a prefix in one, as a store. */
export async function openS3Store(
  location: StoreLocation & { kind: 's3' },
  options: S3Options = {},
): Promise<Store> {
  const config = { ...defaults, ...options };
  const bucket = await S3Bucket.open(location.bucket, location.pathStyle, config.idleMs);
  return new S3Store(bucket, location, config);
}

class S3Store implements Store {
  readonly url: string;
  readonly #bucket: S3Bucket;
  /** Empty, or ending in `/`. */
  readonly #prefix: string;
  readonly #options: Required<S3Options>;
  /** Until the server says that it has no conditional writes. */
  #conditional = true;
  /** The server has answered before: should it go away now, it is worth waiting for. */
  #reached = false;

  constructor(bucket: S3Bucket, location: StoreLocation & { kind: 's3' }, options: Required<S3Options>) {
    this.url = formatStoreUrl(location);
    this.#bucket = bucket;
    this.#prefix = location.prefix === '' ? '' : `${location.prefix}/`;
    this.#options = options;
  }

  localPath(): undefined {
    return undefined;
  }

  async head(key: string, { signal }: CallOptions = {}): Promise<ObjectInfo | undefined> {
    const info = await this.#call(key, signal, () => this.#headIfThere(key, signal));
    return info && { key, bytes: info.bytes, modified: info.modified };
  }

  async read(
    key: string,
    { signal, maxBytes = Infinity }: CallOptions & { maxBytes?: number } = {},
  ): Promise<Uint8Array> {
    const get = async () => {
      const { body, bytes } = await this.#bucket.get(this.#at(key), signal);
      if (bytes <= maxBytes) return await buffer(body);
      body.destroy?.();
      throw new InvalidDataError(`${this.#where(key)} has ${bytes} bytes, more than ${maxBytes}.`);
    };
    return await this.#call(key, signal, get);
  }

  async download(key: string, path: string, expected: Digest, options: TransferOptions = {}): Promise<void> {
    await this.#whileItChanges(key, options, async (options) => {
      // One request is all a small blob needs; only ranges that arrive side by side must agree beforehand.
      const one = expected.bytes > 0 && expected.bytes <= this.#options.rangeBytes;
      const { bytes, tag } = one ? { ...expected, tag: undefined } : await this.#headOf(key, options.signal);
      if (bytes !== expected.bytes) throw new InvalidDataError(this.#otherSize(key, bytes, expected.bytes));
      await writeAtomically(path, async (file) => {
        const open = this.#rangesOf(key, bytes, tag);
        const { rangeBytes } = this.#options;
        const actual = await fetchRanges(open, bytes, file, {
          ...options,
          rangeBytes,
          parallel: parallelRanges,
        });
        checkDigest(this.#where(key), actual, expected);
      });
    });
  }

  async digest(key: string, options: TransferOptions = {}): Promise<Digest> {
    return await this.#whileItChanges(key, options, async (options) => {
      const { bytes, tag } = await this.#headOf(key, options.signal);
      const chunks = readRange(this.#rangesOf(key, bytes, tag), 0, bytes, options.signal);
      return await digestOf(chunks, options);
    });
  }

  async write(
    key: string,
    bytes: Uint8Array,
    { signal, ifAbsent = false }: CallOptions & { ifAbsent?: boolean } = {},
  ): Promise<boolean> {
    return await this.#put(key, ifAbsent, signal, (condition) =>
      retrying(() => this.#bucket.put(this.#at(key), bytes, condition, signal), signal),
    );
  }

  async upload(
    key: string,
    path: string,
    expected: Digest,
    options: TransferOptions & { ifAbsent?: boolean } = {},
  ): Promise<boolean> {
    const { ifAbsent = false, signal, onProgress } = options;
    if (ifAbsent && (await this.head(key, { signal })) !== undefined) return false;
    return await this.#put(key, ifAbsent, signal, async (condition) => {
      if (expected.bytes > this.#options.partBytes) {
        const { partBytes } = this.#options;
        const how = { ifAbsent: condition, partBytes, signal, onProgress };
        await uploadMultipart(this.#bucket, this.#at(key), path, expected, how);
        return;
      }
      const whole = { partBytes: expected.bytes, parallel: 1, signal };
      const [body = Buffer.alloc(0)] = await sendParts(path, expected, async (_, bytes) => bytes, whole);
      await retrying(() => this.#bucket.put(this.#at(key), body, condition, signal), signal);
      onProgress?.(expected.bytes);
    });
  }

  async touch(key: string, { signal }: CallOptions = {}): Promise<boolean> {
    const info = await this.head(key, { signal });
    if (info === undefined || info.bytes > maxCopyBytes) return false;
    return await this.#call(key, signal, async () => {
      try {
        await this.#bucket.touch(this.#at(key), signal);
        return true;
      } catch (error) {
        if (isMissingObject(error)) return false;
        throw error;
      }
    });
  }

  async *list(prefix: string, { signal }: CallOptions = {}): AsyncIterable<ObjectInfo> {
    const pageFrom = (token: string | undefined) =>
      this.#patiently(() => this.#bucket.list(this.#prefix + prefix, token, signal), signal);
    let token: string | undefined;
    do {
      const page = await pageFrom(token).catch((error: unknown) => explain(error, this.url, signal));
      for (const { key, ...info } of page.objects) yield { key: key.slice(this.#prefix.length), ...info };
      token = page.next;
    } while (token !== undefined);
  }

  async remove(key: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#call(key, signal, () => this.#bucket.remove(this.#at(key), signal));
  }

  async abortOrphans(
    olderThanMs: number,
    { signal, dryRun }: CallOptions & { dryRun?: boolean } = {},
  ): Promise<number> {
    let aborted = 0;
    try {
      for await (const { key, id, begun } of this.#bucket.listUploads(this.#prefix, signal)) {
        if (Date.now() - begun.getTime() < olderThanMs) continue;
        if (!dryRun) await abortUpload(this.#bucket, key, id, signal);
        aborted++;
      }
    } catch (error) {
      if (!isUnsupported(error)) explain(error, this.url, signal);
    }
    return aborted;
  }

  /** @returns false where `ifAbsent` met an object. */
  async #put(
    key: string,
    ifAbsent: boolean,
    signal: AbortSignal | undefined,
    attempt: (condition: boolean) => Promise<unknown>,
  ): Promise<boolean> {
    let trusted = true;
    for (let restarts = 0; ; restarts++) {
      const condition = ifAbsent && this.#conditional && trusted;
      // Without conditions two writers may both write. Content-addressed objects make that harmless.
      if (ifAbsent && !condition && (await this.head(key, { signal })) !== undefined) return false;
      try {
        await attempt(condition);
        return true;
      } catch (error) {
        if (condition && isPreconditionFailed(error)) {
          if ((await this.head(key, { signal })) !== undefined) return false;
          // Removed since, or half there: a server that crashed may refuse a key it cannot read either.
          trusted = false;
        } else if (condition && isUnsupported(error)) this.#conditional = false;
        else if (!isConflict(error) || restarts >= maxRestarts) explain(error, this.#where(key), signal);
        await sleep(restartDelayMs * (0.5 + Math.random()));
      }
    }
  }

  /** Starts over when the object is replaced underway, which its tag reveals. */
  async #whileItChanges<Result>(
    key: string,
    options: TransferOptions,
    transfer: (options: TransferOptions) => Promise<Result>,
  ): Promise<Result> {
    for (let restarts = 0; ; restarts++) {
      let moved = 0;
      const onProgress = (bytes: number) => {
        moved += bytes;
        options.onProgress?.(bytes);
      };
      try {
        return await transfer({ signal: options.signal, onProgress });
      } catch (error) {
        if (!isPreconditionFailed(error)) explain(error, this.#where(key), options.signal);
        if (restarts >= maxRestarts) {
          throw new InvalidDataError(`${this.#where(key)} keeps changing while it is read.`, {
            cause: error,
          });
        }
        options.onProgress?.(-moved);
      }
    }
  }

  #rangesOf(key: string, total: number, tag: string | undefined): OpenRange {
    let pinned = tag;
    return async (start, end, signal) => {
      const answer = await this.#bucket.get(this.#at(key), signal, { start, end, tag: pinned });
      pinned ??= answer.tag;
      // A server that has the whole object to give may leave out that this is a range.
      const actual = answer.total ?? (start === 0 ? answer.bytes : undefined);
      if (actual === total && answer.bytes <= end - start) return answer.body;
      answer.body.destroy?.();
      if (actual !== undefined && actual !== total)
        throw new InvalidDataError(this.#otherSize(key, actual, total));
      throw new FoldgateError(
        `${this.#where(key)}: the server ignores ranges, which reading large objects needs.`,
      );
    };
  }

  async #headOf(key: string, signal: AbortSignal | undefined): Promise<S3Head> {
    const info = await this.#patiently(() => this.#headIfThere(key, signal), signal);
    if (info === undefined) throw new NotFoundError(`There is no ${this.#where(key)}.`);
    return info;
  }

  async #headIfThere(key: string, signal: AbortSignal | undefined): Promise<S3Head | undefined> {
    try {
      return await this.#bucket.head(this.#at(key), signal);
    } catch (error) {
      if (isMissingObject(error)) return undefined;
      throw error;
    }
  }

  async #call<Result>(
    key: string,
    signal: AbortSignal | undefined,
    work: () => Promise<Result>,
  ): Promise<Result> {
    try {
      return await this.#patiently(work, signal);
    } catch (error) {
      return explain(error, this.#where(key), signal);
    }
  }

  async #patiently<Result>(work: () => Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
    const result = await retrying(work, signal, this.#reached ? undefined : firstAttempts);
    this.#reached = true;
    return result;
  }

  #at(key: string): string {
    checkKey(key);
    return this.#prefix + key;
  }

  #where(key: string): string {
    return `${key} in ${this.url}`;
  }

  #otherSize(key: string, actual: number, expected: number): string {
    return `${this.#where(key)} has ${actual} bytes, expected ${expected}.`;
  }
}
