import type { StoredBlocks } from '../checkpoint.ts';
import { halfAt } from '../float.ts';

const size = 32;

/** The codes of Q4_0 or Q8_0 blocks as they are, scales apart. */
export function repack(form: 'Q4_0' | 'Q8_0', bytes: Uint8Array): StoredBlocks {
  const blockBytes = form === 'Q4_0' ? 18 : 34;
  const blocks = bytes.length / blockBytes;
  const values = new Uint8Array(blocks * size);
  const scales = new Float32Array(blocks);
  for (let block = 0; block < blocks; block++) {
    const at = block * blockBytes;
    const to = block * size;
    scales[block] = halfAt(bytes, at);
    if (form === 'Q4_0') {
      for (let i = 0; i < 16; i++) {
        values[to + i] = bytes[at + 2 + i]! & 15;
        values[to + 16 + i] = bytes[at + 2 + i]! >> 4;
      }
    } else {
      // Signed bytes become unsigned codes around 128: flipping the sign bit adds 128.
      for (let i = 0; i < size; i++) values[to + i] = bytes[at + 2 + i]! ^ 0x80;
    }
  }
  return { bits: form === 'Q4_0' ? 4 : 8, blockSize: size, values, scales };
}
