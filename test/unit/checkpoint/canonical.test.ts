import { describe, expect, it } from 'vitest';
import { InvalidDataError } from '../../../artifact/errors.ts';
import { canonicalTensor, type StoredTensor } from '../../../compressor/checkpoint/canonical.ts';

const headSize = 8;
const [rows, inputs] = [24, 32];

/**
 * A matrix whose value at canonical row r, column c is r * 100 + c, stored with the rows of each head in rotary pairs:
 * dimension i of the first half at 2i, of the second half at 2i + 1.
 */
function interleaved(): StoredTensor {
  const values = new Float32Array(rows * inputs);
  for (let row = 0; row < rows; row++) {
    const [head, i] = [Math.floor(row / headSize), row % headSize];
    const stored = head * headSize + (i < headSize / 2 ? 2 * i : 2 * (i - headSize / 2) + 1);
    for (let column = 0; column < inputs; column++) values[stored * inputs + column] = row * 100 + column;
  }
  return {
    name: 't',
    shape: [rows, inputs],
    storedAs: 'F32',
    readRows: async (start, count) => values.slice(start * inputs, (start + count) * inputs),
    readBlocks: async (start, count) => ({
      bits: 8,
      blockSize: 32,
      values: Uint8Array.from(values.slice(start * inputs, (start + count) * inputs), (value) =>
        Math.floor(value / 100),
      ),
      scales: Float32Array.from({ length: count }, (_, i) => Math.floor(values[(start + i) * inputs]! / 100)),
    }),
  };
}

const tensor = (stored = interleaved(), rearrangement = {}, shape = [rows, inputs]) =>
  canonicalTensor('layers.0.attention.q', stored, shape, rearrangement, 'here');

describe('rows stored in rotary pairs', () => {
  const canonical = tensor(interleaved(), { interleavedHeads: headSize });

  it.each([
    [0, rows],
    [0, 1],
    [3, 1],
    [4, 1],
    [7, 2],
    [5, 13],
    [23, 1],
    [8, 8],
    [24, 0],
  ])('come in halves: %i and %i more', async (start, count) => {
    const values = await canonical.read(start, count);
    const wanted = Array.from(
      { length: count * inputs },
      (_, i) => (start + Math.floor(i / inputs)) * 100 + (i % inputs),
    );
    expect([...values]).toEqual(wanted);
    const blocks = await canonical.readBlocks!(start, count);
    expect([...blocks.values]).toEqual(wanted.map((value) => Math.floor(value / 100)));
    expect([...blocks.scales]).toEqual(Array.from({ length: count }, (_, i) => start + i));
  });

  it.each([
    [-1, 2],
    [0, rows + 1],
    [rows, 1],
    [0.5, 1],
    [0, Number.NaN],
  ])('are not read beyond the tensor: %d and %d more', async (start, count) => {
    await expect(canonical.read(start, count)).rejects.toThrow(RangeError);
    await expect(canonical.readBlocks!(start, count)).rejects.toThrow(RangeError);
  });
});

it('adds what a norm is stored without, and leaves what is read next untouched', async () => {
  const stored = interleaved();
  const norm = tensor(stored, { offset: 1 });
  const [plain, shifted] = [await tensor(stored).read(2, 1), await norm.read(2, 1)];
  expect([...shifted]).toEqual([...plain].map((value) => value + 1));
  expect([...(await norm.read(2, 1))]).toEqual([...shifted]);
  expect(norm.readBlocks).toBeUndefined();
});

it('refuses a shape that is not the architecture’s, and a form that cannot be read', () => {
  expect(() => tensor(interleaved(), {}, [inputs, rows])).toThrow(InvalidDataError);
  expect(() => tensor(interleaved(), {}, [inputs, rows])).toThrow(
    'here: t has shape [24, 32], the architecture asks for [32, 24].',
  );
  expect(() => tensor({ ...interleaved(), unreadable: 't is stored as IQ4_XS.' })).toThrow('IQ4_XS');
});
