import { type FileHandle, open } from 'node:fs/promises';
import { InvalidDataError, NotFoundError } from '../../artifact/errors.ts';

/** A file of a checkpoint, read by range. */
export class RangeFile implements AsyncDisposable {
  readonly path: string;
  readonly size: number;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle, size: number) {
    this.path = path;
    this.#handle = handle;
    this.size = size;
  }

  /** @throws NotFoundError where there is no such file */
  static async open(path: string): Promise<RangeFile> {
    const handle = await open(path, 'r').catch((cause: Error) => {
      throw new NotFoundError(`${path} cannot be opened.`, { cause });
    });
    const stats = await handle.stat();
    if (stats.isFile()) return new RangeFile(path, handle, stats.size);
    await handle.close();
    throw new InvalidDataError(`${path} is no regular file.`);
  }

  /** @throws InvalidDataError where the file ends before the range does */
  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    this.#check(offset, length);
    const bytes = new Uint8Array(length);
    await this.readInto(bytes, offset);
    return bytes;
  }

  async readInto(bytes: Uint8Array, offset: number): Promise<void> {
    this.#check(offset, bytes.length);
    let done = 0;
    while (done < bytes.length) {
      const { bytesRead } = await this.#handle.read(bytes, done, bytes.length - done, offset + done);
      if (bytesRead === 0) throw this.#truncated(offset, bytes.length); // it shrank since it was opened
      done += bytesRead;
    }
  }

  /** The whole file, where it has no more than `limit` bytes. */
  async readAll(limit: number): Promise<Uint8Array<ArrayBuffer>> {
    if (this.size > limit) {
      throw new InvalidDataError(
        `${this.path} has ${this.size} bytes; no more than ${limit} are read of such a file.`,
      );
    }
    return this.read(0, this.size);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #check(offset: number, length: number): void {
    if (offset + length > this.size) throw this.#truncated(offset, length);
  }

  #truncated(offset: number, length: number): InvalidDataError {
    return new InvalidDataError(
      `${this.path} ends at byte ${this.size}, but bytes ${offset} to ${offset + length} are needed: ` +
        'it is truncated or its header lies. Fetch it again.',
    );
  }
}
