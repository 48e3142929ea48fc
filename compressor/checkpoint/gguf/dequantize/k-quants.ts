import { halfAt } from '../../float.ts';
import { type BlockForm, blockForm } from './block-form.ts';

const size = 256;

const round = Math.fround;

/** Scale and minimum of group i of 8, 6 bits each, packed into 12 bytes at `at`. */
function scaleOf(bytes: Uint8Array, at: number, i: number): number {
  return i < 4 ? bytes[at + i]! & 63 : (bytes[at + i + 4]! & 15) | ((bytes[at + i - 4]! >> 6) << 4);
}
function minimumOf(bytes: Uint8Array, at: number, i: number): number {
  return i < 4 ? bytes[at + i + 4]! & 63 : (bytes[at + i + 4]! >> 4) | ((bytes[at + i]! >> 6) << 4);
}

/**
 * Q4_K and Q5_K: 8 groups of 32 weights, w = (d * scale) * q - (dmin * minimum). Layout: d, dmin, 12 bytes of scales,
 * for Q5_K 32 bytes of fifth bits (bit g of byte i for weight i of group g), 128 bytes of nibbles in which
 * 32 bytes hold the low nibbles of one group and the high ones of the next.
 */
function groupsOf32(name: string, fifthBits: boolean): BlockForm {
  const quants = 16 + (fifthBits ? 32 : 0);
  return blockForm(name, size, quants + size / 2, (bytes, at, out, to) => {
    const d = halfAt(bytes, at);
    const dmin = halfAt(bytes, at + 2);
    for (let group = 0; group < 8; group++) {
      const scale = round(d * scaleOf(bytes, at + 4, group));
      const minimum = round(dmin * minimumOf(bytes, at + 4, group));
      const from = at + quants + (group >> 1) * 32;
      const shift = (group & 1) * 4;
      const start = to + group * 32;
      if (fifthBits) {
        for (let i = 0; i < 32; i++) {
          const q = ((bytes[from + i]! >> shift) & 15) | (((bytes[at + 16 + i]! >> group) & 1) << 4);
          out[start + i] = round(scale * q) - minimum;
        }
      } else {
        for (let i = 0; i < 32; i++)
          out[start + i] = round(scale * ((bytes[from + i]! >> shift) & 15)) - minimum;
      }
    }
  });
}

export const q4_k = groupsOf32('Q4_K', false);
export const q5_k = groupsOf32('Q5_K', true);

/**
 * 16 groups of 16 weights, w = (d * scale) * (q - 32). Layout: 128 bytes of low nibbles, 64 bytes of two upper bits,
 * 16 signed scales, d. Each half of the block takes 64 and 32 bytes, read in four runs of 32 weights, two groups each.
 */
export const q6_k = blockForm('Q6_K', size, 210, (bytes, at, out, to) => {
  const d = halfAt(bytes, at + 208);
  for (let group = 0; group < 16; group++) {
    const run = group >> 1;
    const inRun = (group & 1) * 16;
    const low = at + (run >> 2) * 64 + (run & 1) * 32 + inRun;
    const upper = at + 128 + (run >> 2) * 32 + inRun;
    const lowShift = ((run >> 1) & 1) * 4;
    const upperShift = (run & 3) * 2;
    const scale = round(d * ((bytes[at + 192 + group]! << 24) >> 24));
    for (let i = 0; i < 16; i++) {
      const q = ((bytes[low + i]! >> lowShift) & 15) | (((bytes[upper + i]! >> upperShift) & 3) << 4);
      out[to + group * 16 + i] = scale * (q - 32);
    }
  }
});
