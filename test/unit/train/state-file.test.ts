import { readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InvalidDataError } from '../../../artifact/errors.ts';
import { normalNumbers } from '../../../compressor/random.ts';
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
const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array) =>
  Buffer.from(buffer, byteOffset, byteLength);
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

describe.each(['zstd', 'range'] as const)('a state that is coded by %s', (coding) => {
  /** As trained weights are. */
  const random = normalNumbers(1);
  const weights = (count: number) => Float32Array.from({ length: count }, () => 0.02 * random());
  const mixed: State['arrays'] = [
    ['none', new Float32Array(0)],
    ['weights', weights(30_000)],
    ['zeros', new Float32Array(5000)],
    ...arrays(),
  ];
  const blank = (state: State['arrays']) =>
    state.map(([name, { length }]): [string, Float32Array] => [name, new Float32Array(length)]);
  const write = async (state: State['arrays']) => {
    const file = await path();
    await writeState(file, { meta: { steps: 3 }, arrays: state }, coding);
    return file;
  };

  it('gives back what was written, bit for bit, in fewer bytes', async () => {
    // The last array is longer than a frame.
    const long: State['arrays'] = [...mixed, ['long', weights(300_000)]];
    const file = await write(long);
    expect(await readMeta(file)).toEqual({ steps: 3 });
    const read = blank(long);
    await readArrays(file, read);
    expect(read.map(([name]) => name)).toEqual(long.map(([name]) => name));
    for (const [i, [name, values]] of read.entries())
      expect(Buffer.compare(Buffer.from(values.buffer), bytesOf(long[i]![1])), name).toBe(0);
    const { size } = await stat(file);
    expect(size / (4 * 330_000)).toBeLessThan(0.9);
    expect(size / (4 * 330_000)).toBeGreaterThan(0.7);
  });

  it('is a safetensors file of bytes', async () => {
    const bytes = await readFile(await write(mixed));
    const length = Number(bytes.readBigUInt64LE());
    const { __metadata__, ...tensors } = JSON.parse(bytes.subarray(8, 8 + length).toString());
    expect(__metadata__.coding).toBe(coding);
    let end = 0;
    for (const [name] of mixed) {
      const { dtype, shape, data_offsets: offsets } = tensors[name];
      expect({ dtype, start: offsets[0], bytes: shape[0] }).toEqual({
        ...{ dtype: 'U8', start: end },
        bytes: offsets[1] - offsets[0],
      });
      end = offsets[1];
    }
    expect(bytes.length).toBe(8 + length + end);
    expect(length % 8).toBe(0);
  });

  it('is refused where it is damaged, cut off or another', async () => {
    const bytes = await readFile(await write(mixed));
    const file = await path();
    const start = 8 + Number(bytes.readBigUInt64LE());
    // The claimed length of the first frame, its checksum, its beginning, its middle.
    for (const at of [start + 3, start + 4, start + 8, start + 9, start + 5000, start + 90_000]) {
      const damaged = Buffer.from(bytes);
      damaged[at]! ^= 16;
      await writeFile(file, damaged);
      await expect(readArrays(file, blank(mixed)), `${at - start}`).rejects.toThrow(/damaged/);
    }
    await writeFile(file, bytes.subarray(0, bytes.length - 1));
    await expect(readArrays(file, blank(mixed))).rejects.toThrow(/damaged/);
    await writeFile(file, bytes);
    for (const length of [0, 4999, 5001])
      await expect(readArrays(file, [['zeros', new Float32Array(length)]]), `${length}`).rejects.toThrow(
        InvalidDataError,
      );
    await expect(readArrays(file, [['other', new Float32Array(1)]])).rejects.toThrow(InvalidDataError);
    await writeFile(
      file,
      Buffer.from(
        bytes.toString('latin1').replace(`"coding":"${coding}"`, '"coding":"7z"'.padEnd(11 + coding.length)),
        'latin1',
      ),
    );
    await expect(readMeta(file)).rejects.toThrow(/coded by 7z, .*it knows none, zstd, range/);
  });
});
