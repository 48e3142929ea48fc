import { describe, expect, it } from 'vitest';
import { dequantize, type QuantizedMatrix, roundToNearest } from '../../../compressor/quantize/blocks.ts';
import { randomArray, seeded } from '../../fixtures/random-checkpoint.ts';

const forms = ([4, 8] as const).flatMap((bits) => [32, 64, 128].map((blockSize) => ({ bits, blockSize })));
/** Below a block, whole blocks, and one column more or less than whole blocks. */
const widths = [1, 31, 32, 33, 100, 128, 129, 288];

/** Code by code from the packed bytes, written apart from the implementation. */
function codeAt({ bits, blockSize, blocks, values }: QuantizedMatrix, row: number, column: number): number {
  const bytesPerBlock = (blockSize * bits) / 8;
  const block = values.subarray((row * blocks + Math.floor(column / blockSize)) * bytesPerBlock);
  const inside = column % blockSize;
  if (bits === 8) return block[inside]!;
  const byte = block[Math.floor(inside / 2)]!;
  return inside % 2 === 0 ? byte % 16 : Math.floor(byte / 16);
}

describe.each(forms)('round to nearest, int$bits in blocks of $blockSize', ({ bits, blockSize }) => {
  const zero = 2 ** (bits - 1);

  it.each(widths)('stays within half a step of every weight, width %i', (width) => {
    const rows = 5;
    const weights = randomArray(rows * width, seeded(width * bits + blockSize), 3);
    const matrix = roundToNearest(weights, [rows, width], bits, blockSize);
    const restored = dequantize(matrix, width);
    expect(matrix.blocks).toBe(Math.ceil(width / blockSize));
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < width; column++) {
        const scale = matrix.scales[row * matrix.blocks + Math.floor(column / blockSize)]!;
        const weight = weights[row * width + column]!;
        const error = Math.abs(weight - restored[row * width + column]!);
        const step = Math.abs(scale);
        // Codes reach one step further on the largest value's side than on the other.
        const clipped = Math.abs(weight) > (zero - 1) * step && Math.sign(weight) !== Math.sign(-scale);
        expect(error).toBeLessThanOrEqual((clipped ? 1 : 0.5) * step * (1 + 1e-6));
        expect(restored[row * width + column]).toBe(
          Math.fround((codeAt(matrix, row, column) - zero) * scale),
        );
      }
    }
  });

  it('keeps the largest value of every block exact, whatever its sign', () => {
    const width = 2 * blockSize + 5;
    const weights = randomArray(3 * width, seeded(bits + blockSize));
    const outliers = [
      [0, 7.123456],
      [blockSize + 3, -5.4321],
      [2 * blockSize, 1e-3],
    ] as const;
    for (const [column, value] of outliers) {
      for (let i = column; i < width && column === 2 * blockSize; i++) weights[i] = 0; // a block of its own
      weights[column] = value;
    }
    const restored = dequantize(roundToNearest(weights, [3, width], bits, blockSize), width);
    for (const [column, value] of outliers) expect(restored[column]).toBe(Math.fround(value));
  });

  it('keeps zeros exact and pads with the code for zero', () => {
    const width = blockSize + 1;
    const weights = randomArray(width, seeded(3));
    for (let i = 0; i < width; i += 3) weights[i] = 0;
    const matrix = roundToNearest(weights, [1, width], bits, blockSize);
    const restored = dequantize(matrix, width);
    for (let i = 0; i < width; i += 3) expect(restored[i]).toBe(0);
    for (let i = width; i < 2 * blockSize; i++) expect(codeAt(matrix, 0, i)).toBe(zero);
  });

  it('gives a block of zeros without dividing by them', () => {
    const matrix = roundToNearest(new Float32Array(blockSize), [1, blockSize], bits, blockSize);
    expect([...dequantize(matrix, blockSize)].every((value) => value === 0)).toBe(true);
    expect(codeAt(matrix, 0, 0)).toBe(zero);
  });

  it('gives each row its own scales', () => {
    const weights = new Float32Array(2 * blockSize).fill(1, 0, blockSize).fill(-100, blockSize);
    const { scales } = roundToNearest(weights, [2, blockSize], bits, blockSize);
    expect([...scales]).toEqual([1 / -zero, 100 / zero]);
  });
});

describe('the packing', () => {
  it('is the one worked out by hand', () => {
    // Largest -8: scale 1, so code = weight + 8. The first of two codes is the low half of the byte.
    const weights = new Float32Array(32).fill(0);
    weights.set([-8, 7, 1, -1, 3]);
    const { values, scales } = roundToNearest(weights, [1, 32], 4, 32);
    expect([...scales]).toEqual([1]);
    expect([...values]).toEqual([0xf0, 0x79, 0x8b, ...new Array(13).fill(0x88)]);

    // The same with the sign turned: scale -1, so that 8 is code 0 and -7 is code 15.
    const turned = roundToNearest(
      weights.map((weight) => -weight),
      [1, 32],
      4,
      32,
    );
    expect([...turned.scales]).toEqual([-1]);
    expect([...turned.values]).toEqual([...values]);
  });

  it('is one code a byte in int8', () => {
    const weights = new Float32Array(33).fill(0);
    weights.set([-128, 127, 1, -1]);
    weights[32] = 64;
    const { values, scales } = roundToNearest(weights, [1, 33], 8, 32);
    expect([...scales]).toEqual([1, -0.5]);
    expect([...values.subarray(0, 5)]).toEqual([0, 255, 129, 127, 128]);
    expect([...values.subarray(32, 34)]).toEqual([0, 128]);
    expect(values.length).toBe(64);
  });
});
