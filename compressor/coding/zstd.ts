import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { InvalidDataError } from '../../artifact/errors.ts';
import type { Coder } from './coder.ts';
import { fromPlanes, planesOf } from './planes.ts';

/** Weights repeat nothing, so levels above look for matches in vain: level 1 leaves as much, in less time. */
const level = 1;

/** Zstandard over planes of bytes. What it gains is its entropy coder's (Huffman): a static prior for each plane. */
export const zstdCoder: Coder = {
  encode: (plain, width) =>
    zstdCompressSync(planesOf(plain, width), { params: { [constants.ZSTD_c_compressionLevel]: level } }),
  decode(coded, width, plain) {
    const planes = decompressed(coded, plain.length);
    if (planes.length !== plain.length)
      throw new InvalidDataError(`${plain.length} bytes were coded, and ${planes.length} came of it.`);
    fromPlanes(planes, width, plain);
  },
};

/** @param most bytes that may come of it: a few bytes can stand for gigabytes */
function decompressed(coded: Uint8Array, most: number): Uint8Array {
  try {
    return zstdDecompressSync(coded, { maxOutputLength: Math.max(most, 1), rejectGarbageAfterEnd: true });
  } catch (cause) {
    throw new InvalidDataError(`${coded.length} bytes are no zstd frame of ${most}.`, { cause });
  }
}
