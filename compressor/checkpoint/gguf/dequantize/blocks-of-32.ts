import { fromHalf } from '../../float.ts';
import type { BlockForm } from './block-form.ts';

const size = 32;
const half = size / 2;

const halfAt = (bytes: Uint8Array, at: number) => fromHalf(bytes[at]! | (bytes[at + 1]! << 8));

/**
 * The forms whose blocks begin with a float16 scale d: w = d * (q - offset), or w = d * q + m with a float16
 * minimum m. Low nibbles are the first 16 weights of a block, high ones the others; a fifth bit lies apart.
 */
function nibbleForm(name: string, options: { fifthBit: boolean; minimum: boolean }): BlockForm {
  const { fifthBit, minimum } = options;
  const quants = 2 + (minimum ? 2 : 0) + (fifthBit ? 4 : 0);
  const offset = minimum ? 0 : fifthBit ? 16 : 8;
  const blockBytes = quants + half;
  return {
    name,
    blockSize: size,
    blockBytes,
    dequantize(bytes, out) {
      for (let at = 0, to = 0; to < out.length; at += blockBytes, to += size) {
        const d = halfAt(bytes, at);
        const m = minimum ? halfAt(bytes, at + 2) : -0; // adding -0 changes nothing, adding 0 makes -0 positive
        let high = 0;
        if (fifthBit) for (let i = 0; i < 4; i++) high |= bytes[at + quants - 4 + i]! << (8 * i);
        for (let i = 0; i < half; i++) {
          const byte = bytes[at + quants + i]!;
          const low = (byte & 15) | (((high >>> i) & 1) << 4);
          const upper = (byte >> 4) | (((high >>> (i + half)) & 1) << 4);
          out[to + i] = Math.fround(d * (low - offset)) + m;
          out[to + half + i] = Math.fround(d * (upper - offset)) + m;
        }
      }
    },
  };
}

export const q4_0 = nibbleForm('Q4_0', { fifthBit: false, minimum: false });
export const q4_1 = nibbleForm('Q4_1', { fifthBit: false, minimum: true });
export const q5_0 = nibbleForm('Q5_0', { fifthBit: true, minimum: false });
export const q5_1 = nibbleForm('Q5_1', { fifthBit: true, minimum: true });

/** A float16 scale and 32 signed bytes. */
export const q8_0: BlockForm = {
  name: 'Q8_0',
  blockSize: size,
  blockBytes: 2 + size,
  dequantize(bytes, out) {
    for (let at = 0, to = 0; to < out.length; at += 2 + size, to += size) {
      const d = halfAt(bytes, at);
      for (let i = 0; i < size; i++) out[to + i] = d * ((bytes[at + 2 + i]! << 24) >> 24);
    }
  },
};
