import { halfAt } from '../../float.ts';
import { type BlockForm, blockForm } from './block-form.ts';

const size = 32;
const half = size / 2;

/** Without a minimum: adding -0 changes nothing, where adding 0 would make -0 positive. */
const noMinimum = -0;

/**
 * w = d * (q - 8), or w = d * q + m with a float16 minimum m. Low nibbles are the first 16 weights of a block, high
 * ones the others.
 */
function fourBits(name: string, minimum: boolean): BlockForm {
  const quants = minimum ? 4 : 2;
  const offset = minimum ? 0 : 8;
  return blockForm(name, size, quants + half, (bytes, at, out, to) => {
    const d = halfAt(bytes, at);
    const m = minimum ? halfAt(bytes, at + 2) : noMinimum;
    for (let i = 0; i < half; i++) {
      const byte = bytes[at + quants + i]!;
      out[to + i] = Math.fround(d * ((byte & 15) - offset)) + m;
      out[to + half + i] = Math.fround(d * ((byte >> 4) - offset)) + m;
    }
  });
}

export const q4_0 = fourBits('Q4_0', false);
export const q4_1 = fourBits('Q4_1', true);

/** As four bits, with the fifth bits of all 32 weights in a word before the nibbles. */
function fiveBits(name: string, minimum: boolean): BlockForm {
  const quants = minimum ? 8 : 6;
  const offset = minimum ? 0 : 16;
  return blockForm(name, size, quants + half, (bytes, at, out, to) => {
    const d = halfAt(bytes, at);
    const m = minimum ? halfAt(bytes, at + 2) : noMinimum;
    const word = at + quants - 4;
    const fifthOfLow = bytes[word]! | (bytes[word + 1]! << 8);
    const fifthOfHigh = bytes[word + 2]! | (bytes[word + 3]! << 8);
    for (let i = 0; i < half; i++) {
      const byte = bytes[at + quants + i]!;
      const low = (byte & 15) | (((fifthOfLow >> i) & 1) << 4);
      const high = (byte >> 4) | (((fifthOfHigh >> i) & 1) << 4);
      out[to + i] = Math.fround(d * (low - offset)) + m;
      out[to + half + i] = Math.fround(d * (high - offset)) + m;
    }
  });
}

export const q5_0 = fiveBits('Q5_0', false);
export const q5_1 = fiveBits('Q5_1', true);

/** A float16 scale and 32 signed bytes. */
export const q8_0 = blockForm('Q8_0', size, 2 + size, (bytes, at, out, to) => {
  const d = halfAt(bytes, at);
  for (let i = 0; i < size; i++) out[to + i] = d * ((bytes[at + 2 + i]! << 24) >> 24);
});
