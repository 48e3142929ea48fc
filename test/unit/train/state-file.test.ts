import { readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InvalidDataError } from '../../../artifact/errors.ts';
import { readArrays, readMeta, type State, writeState } from '../../../compressor/train/state-file.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const arrays = (): State['arrays'] => [
  ['a', Float32Array.of(1, -0, Number.NaN, 1e-40)],
  // A view into the middle of other memory.
  ['b', new Float32Array(new Float32Array(10).fill(7).buffer, 8, 3)],
];
const empty = (): State['arrays'] => [
  ['a', new Float32Array(4)],
  ['b', new Float32Array(3)],
];
const path = async () => join(await temporaryFolder(), 'state.safetensors');

describe('the state file', () => {
  it('gives back what was written, bit for bit', async () => {
    const file = await path();
    await writeState(file, { meta: { steps: 3, text: 'ü"' }, arrays: arrays() });
    expect(await readMeta(file)).toEqual({ steps: 3, text: 'ü"' });
    const read = empty();
    await readArrays(file, read);
    expect(read).toEqual(arrays());
  });

  it('is a safetensors file', async () => {
    const file = await path();
    await writeState(file, { meta: 1, arrays: arrays() });
    const bytes = await readFile(file);
    const length = Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
    expect(header.b).toEqual({ dtype: 'F32', shape: [3], data_offsets: [16, 28] });
    expect(bytes.length).toBe(8 + length + 28);
    expect(bytes.readFloatLE(8 + length + 16)).toBe(7);
  });

  it('is not there before it is written', async () => {
    expect(await readMeta(await path())).toBeUndefined();
  });

  it('is refused where it is damaged or another', async () => {
    const file = await path();
    await writeState(file, { meta: 1, arrays: arrays() });
    await expect(readArrays(file, [['a', new Float32Array(5)]])).rejects.toThrow(
      /16 bytes of a, expected 20/,
    );
    await expect(readArrays(file, [['c', new Float32Array(5)]])).rejects.toThrow(InvalidDataError);
    await truncate(file, (await readFile(file)).length - 1);
    await expect(readArrays(file, empty())).rejects.toThrow(/damaged/);
    await writeFile(file, 'no header at all');
    await expect(readMeta(file)).rejects.toThrow(InvalidDataError);
    await writeFile(file, '');
    await expect(readMeta(file)).rejects.toThrow(InvalidDataError);
  });
});
