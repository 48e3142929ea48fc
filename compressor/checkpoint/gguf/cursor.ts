import { InvalidDataError } from '../../../artifact/errors.ts';
import type { RangeFile } from '../range-file.ts';

/** Bytes read ahead: most of a header is strings of a few bytes. */
const windowBytes = 2 ** 20;

/** Walks through the head of a file, holding a window of it. Nothing is read that the file does not have. */
export class Cursor {
  readonly #file: RangeFile;
  readonly #limit: number;
  readonly #text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  #bytes = new Uint8Array(0);
  #view = new DataView(this.#bytes.buffer);
  /** Of `#bytes` in the file. */
  #start = 0;
  #at = 0;

  /** @param limit bytes of the file that may be walked over */
  constructor(file: RangeFile, limit: number) {
    this.#file = file;
    this.#limit = limit;
  }

  get position(): number {
    return this.#start + this.#at;
  }

  /** Bytes of the file from here on. */
  get remaining(): number {
    return this.#file.size - this.position;
  }

  /** Whether `length` bytes can be taken without reading: spares the await in long loops. */
  has(length: number): boolean {
    return this.#at + length <= this.#bytes.length;
  }

  /** @throws InvalidDataError where the file or the limit ends before `length` bytes */
  async need(length: number): Promise<void> {
    if (this.has(length)) return;
    const start = this.position;
    if (start + length > this.#limit) {
      throw new InvalidDataError(
        `${this.#file.path}: its header exceeds ${this.#limit} bytes, more than any real model's.`,
      );
    }
    if (length > this.remaining) {
      throw new InvalidDataError(
        `${this.#file.path} ends inside its header: ${length} bytes are needed at byte ${start} of ${this.#file.size}. ` +
          'It is truncated: fetch it again.',
      );
    }
    this.#bytes = await this.#file.read(
      start,
      Math.min(Math.max(length, windowBytes), this.#file.size - start),
    );
    this.#view = new DataView(this.#bytes.buffer);
    this.#start = start;
    this.#at = 0;
  }

  take(length: number): Uint8Array {
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  /** Little-endian numbers; the bytes must have been asked for with `need`. */
  number(type: NumberType): number {
    const at = this.#at;
    this.#at += numberBytes[type];
    switch (type) {
      case 'uint8':
        return this.#view.getUint8(at);
      case 'int8':
        return this.#view.getInt8(at);
      case 'uint16':
        return this.#view.getUint16(at, true);
      case 'int16':
        return this.#view.getInt16(at, true);
      case 'uint32':
        return this.#view.getUint32(at, true);
      case 'int32':
        return this.#view.getInt32(at, true);
      case 'uint64':
        return Number(this.#view.getBigUint64(at, true));
      case 'int64':
        return Number(this.#view.getBigInt64(at, true));
      case 'float32':
        return this.#view.getFloat32(at, true);
      case 'float64':
        return this.#view.getFloat64(at, true);
    }
  }

  async read(type: NumberType): Promise<number> {
    if (!this.has(8)) await this.need(numberBytes[type]);
    return this.number(type);
  }

  /** @param limit bytes; `what` names the string in errors */
  async string(limit: number, what: string): Promise<string> {
    const length = await this.read('uint64');
    if (length > limit) {
      throw new InvalidDataError(`${this.#file.path}: ${what} claims ${length} bytes, more than ${limit}.`);
    }
    if (!this.has(length)) await this.need(length);
    try {
      return this.#text.decode(this.take(length));
    } catch (cause) {
      throw new InvalidDataError(`${this.#file.path}: ${what} is no UTF-8.`, { cause });
    }
  }
}

export const numberBytes = {
  uint8: 1,
  int8: 1,
  uint16: 2,
  int16: 2,
  uint32: 4,
  int32: 4,
  uint64: 8,
  int64: 8,
  float32: 4,
  float64: 8,
} as const;
export type NumberType = keyof typeof numberBytes;
