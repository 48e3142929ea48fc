import { InvalidDataError } from '../../artifact/errors.ts';

/** Probabilities are of so many bits, neither 0 nor all of them. */
export const probabilityBits = 16;

/**
 * Arithmetic coding of single bits: an interval of 32 bits is cut at each bit's probability, and the part that the bit
 * names is kept; its leading bytes are written once no later cut can change them. (The carryless form: low and high
 * end are kept, bytes go when they agree.)
 */
export class BitEncoder {
  #low = 0;
  #high = 0xffffffff;
  #bytes: Uint8Array;
  #length = 0;

  /** @param expected bytes that will come of it, roughly */
  constructor(expected: number) {
    this.#bytes = new Uint8Array(Math.max(64, expected));
  }

  /** @param probability of a 1, above 0 and below 2^16 */
  encode(bit: number, probability: number): void {
    const middle = cut(this.#low, this.#high, probability);
    if (bit) this.#high = middle;
    else this.#low = middle + 1;
    while ((this.#low ^ this.#high) >>> 24 === 0) {
      this.#write(this.#high >>> 24);
      this.#low = (this.#low << 8) >>> 0;
      this.#high = ((this.#high << 8) | 255) >>> 0;
    }
  }

  /** All bytes. Nothing can be encoded afterwards. */
  finish(): Uint8Array {
    // Any number of the interval will do: its low end.
    for (let shift = 24; shift >= 0; shift -= 8) this.#write((this.#low >>> shift) & 255);
    return this.#bytes.subarray(0, this.#length);
  }

  #write(byte: number): void {
    if (this.#length === this.#bytes.length) {
      const larger = new Uint8Array(2 * this.#length);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes[this.#length++] = byte;
  }
}

/** The way back: it has to be asked with the probabilities that were encoded with. */
export class BitDecoder {
  readonly #bytes: Uint8Array;
  #at = 0;
  #low = 0;
  #high = 0xffffffff;
  #value = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    for (let i = 0; i < 4; i++) this.#value = ((this.#value << 8) | this.#read()) >>> 0;
  }

  /** @throws InvalidDataError where the bytes are at an end */
  decode(probability: number): number {
    const middle = cut(this.#low, this.#high, probability);
    const bit = this.#value <= middle ? 1 : 0;
    if (bit) this.#high = middle;
    else this.#low = middle + 1;
    while ((this.#low ^ this.#high) >>> 24 === 0) {
      this.#low = (this.#low << 8) >>> 0;
      this.#high = ((this.#high << 8) | 255) >>> 0;
      this.#value = ((this.#value << 8) | this.#read()) >>> 0;
    }
    return bit;
  }

  /** Whether all bytes were read: a decoder reads as many as its encoder wrote. */
  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  #read(): number {
    if (this.#at === this.#bytes.length)
      throw new InvalidDataError(`The coded bytes end too early, after ${this.#bytes.length}.`);
    return this.#bytes[this.#at++]!;
  }
}

/** The last number of the part that stands for a 1. */
function cut(low: number, high: number, probability: number): number {
  const range = high - low;
  return low + (range >>> 16) * probability + (((range & 0xffff) * probability) >>> 16);
}
