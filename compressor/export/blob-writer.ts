import { createHash } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Blob } from '../../artifact/manifest.ts';
import type { DataType } from '../onnx/graph.ts';

/** Cache lines and vector loads; memory maps begin at whole pages anyway. */
export const alignment = 64;

/** Where one tensor lies; `file` is the blob's sha256. */
export interface StoredTensor {
  name: string;
  type: DataType;
  shape: number[];
  offset: number;
  length: number;
  /** What the tensor's codes are, where it has any. */
  codes?: { bits: 4 | 8; blockSize: number };
}

export interface WrittenBlob extends Blob {
  tensors: StoredTensor[];
}

/** Writes tensors into one file, then names the file by its content. */
export class BlobWriter {
  readonly #folder: string;
  readonly #temporary: string;
  readonly #file: FileHandle;
  readonly #hash = createHash('sha256');
  readonly #tensors: StoredTensor[] = [];
  #length = 0;

  static async create(folder: string, name: string): Promise<BlobWriter> {
    // The process id keeps two runs of one fold apart; they end in the same file.
    const temporary = join(folder, `${name}.${process.pid}.partial`);
    return new BlobWriter(folder, temporary, await open(temporary, 'w'));
  }

  private constructor(folder: string, temporary: string, file: FileHandle) {
    this.#folder = folder;
    this.#temporary = temporary;
    this.#file = file;
  }

  /** A whole tensor. */
  async add(name: string, type: DataType, shape: number[], values: ArrayBufferView): Promise<void> {
    await this.begin(name, type, shape);
    await this.append(values);
  }

  /** Starts a tensor whose bytes follow by `append`, for those too large to hold. */
  async begin(name: string, type: DataType, shape: number[], codes?: StoredTensor['codes']): Promise<void> {
    const padding = -this.#length & (alignment - 1);
    if (padding > 0) await this.#write(new Uint8Array(padding));
    this.#tensors.push({ name, type, shape, offset: this.#length, length: 0, ...(codes && { codes }) });
  }

  async append(values: ArrayBufferView): Promise<void> {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    await this.#write(bytes);
    this.#tensors.at(-1)!.length += bytes.length;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    await this.#file.writeFile(bytes);
    this.#length += bytes.length;
  }

  /** Flushes to disk and renames the file to its sha256. */
  async finish(): Promise<WrittenBlob> {
    await this.#file.sync();
    await this.#file.close();
    const sha256 = this.#hash.digest('hex');
    await rename(this.#temporary, join(this.#folder, sha256));
    return { sha256, bytes: this.#length, tensors: this.#tensors };
  }

  async abort(): Promise<void> {
    await this.#file.close().catch(() => {});
    await rm(this.#temporary, { force: true });
  }
}
