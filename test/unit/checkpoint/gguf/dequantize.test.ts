import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { formOf, readableForms } from '../../../../compressor/checkpoint/gguf/dequantize/forms.ts';
import { repack } from '../../../../compressor/checkpoint/gguf/repack.ts';

const forms = [1, 2, 3, 6, 7, 8, 12, 13, 14, 30].map((type) => formOf(type)!);

/** Random blocks and what the Python package makes of them: see make-blocks.py. */
async function golden(form: { name: string; blockSize: number; blockBytes: number }) {
  const file = await readFile(new URL(`blocks/${form.name.toLowerCase()}.bin`, import.meta.url));
  const count = file.length / (form.blockBytes + form.blockSize * 4);
  const blocks = new Uint8Array(file.subarray(0, count * form.blockBytes));
  const expected = new Float32Array(new Uint8Array(file.subarray(blocks.length)).buffer);
  return { blocks, expected, count };
}

it('covers every form that is read', () => {
  expect(
    forms
      .map(({ name }) => name)
      .concat('F32')
      .sort(),
  ).toEqual([...readableForms].sort());
});

it.each(forms)('expands $name to the bits that the gguf package gives', async (form) => {
  const { blocks, expected, count } = await golden(form);
  expect(count).toBeGreaterThanOrEqual(24);
  const out = new Float32Array(expected.length);
  form.dequantize(blocks, out);
  expect(out).toEqual(expected);
});

it.each([2, 8])('repacks type %i into codes and scales that give the same weights', async (type) => {
  const form = formOf(type)!;
  const { blocks, expected } = await golden(form);
  const { bits, blockSize, values, scales } = repack(form.name as 'Q4_0' | 'Q8_0', blocks);
  expect(values).toHaveLength(expected.length);
  const weights = Float32Array.from(
    values,
    (code, i) => (code - 2 ** (bits - 1)) * scales[Math.floor(i / blockSize)]!,
  );
  // toEqual tells -0 from 0, which a code of zero times a negative scale may differ in.
  expect(weights.map((weight) => weight + 0)).toEqual(expected.map((weight) => weight + 0));
});
