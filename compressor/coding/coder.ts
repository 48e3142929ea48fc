import { noCoder } from './none.ts';
import { rangeCoder } from './range.ts';
import { zstdCoder } from './zstd.ts';

/** Makes fewer bytes of bytes, and the same bytes of those again. */
export interface Coder {
  /**
   * @param width bytes of one number, whose bytes of equal place are alike: 4 for float32, 1 for codes of weights
   * @returns what `decode` makes the same bytes of; it may be longer than `plain`
   */
  encode(plain: Uint8Array, width: number): Uint8Array;
  /**
   * @param plain is filled; as long as what was encoded
   * @throws InvalidDataError where `coded` is visibly not what was encoded. Other bytes may decode to anything: whoever
   * keeps them keeps a checksum (`frames.ts`)
   */
  decode(coded: Uint8Array, width: number, plain: Uint8Array): void;
}

/** How arrays of numbers are coded, in the order of what they leave. */
export const codings = ['none', 'zstd', 'range'] as const;
export type Coding = (typeof codings)[number];

export const coders: Readonly<Record<Coding, Coder>> = {
  none: noCoder,
  zstd: zstdCoder,
  range: rangeCoder,
};
