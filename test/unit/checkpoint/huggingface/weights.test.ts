import { readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InvalidDataError, NotFoundError } from '../../../../artifact/errors.ts';
import { openWeights } from '../../../../compressor/checkpoint/huggingface/shards.ts';
import { limits } from '../../../../compressor/checkpoint/limits.ts';
import { picoPath } from '../../../fixtures/pico.ts';
import { safetensorsFile, writeFiles } from '../../../fixtures/safetensors.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

const f32 = (start: number, end: number, shape: number[] = [(end - start) / 4]) => ({
  dtype: 'F32',
  shape,
  data_offsets: [start, end],
});
const data = (bytes: number): Uint8Array => new Uint8Array(bytes);
const indexName = 'model.safetensors.index.json';

async function open(files: Parameters<typeof writeFiles>[1]) {
  const weights = await openWeights(await writeFiles(await temporaryFolder(), files));
  await weights.close();
  return weights.tensors;
}
const single = (...file: Parameters<typeof safetensorsFile>) =>
  open({ 'model.safetensors': safetensorsFile(...file) });

describe('a safetensors file', () => {
  it.each(['F32', 'F16', 'BF16'])('gives rows of %s by range', async (dtype) => {
    const folder = await temporaryFolder();
    const values = [1, -2, 0.5, 3, -0.25, 1024];
    const bits: Record<string, ArrayBufferLike> = {
      F32: new Float32Array(values).buffer,
      F16: new Uint16Array([0x3c00, 0xc000, 0x3800, 0x4200, 0xb400, 0x6400]).buffer,
      BF16: new Uint16Array([0x3f80, 0xc000, 0x3f00, 0x4040, 0xbe80, 0x4480]).buffer,
    };
    const bytes = new Uint8Array(bits[dtype]!);
    const header = {
      t: { dtype, shape: [3, 2], data_offsets: [0, bytes.length] },
      __metadata__: { format: 'pt' },
    };
    await writeFiles(folder, { 'model.safetensors': safetensorsFile(header, bytes) });
    const { tensors, close } = await openWeights(folder);
    expect([...tensors.keys()]).toEqual(['t']);
    const tensor = tensors.get('t')!;
    expect([...(await tensor.readRows(0, 3))]).toEqual(values);
    expect([...(await tensor.readRows(1, 1))]).toEqual(values.slice(2, 4));
    expect([...(await tensor.readRows(2, 1))]).toEqual(values.slice(4));
    await close();
  });

  it('reads subnormal, infinite and absent float16', async () => {
    const folder = await temporaryFolder();
    const bits = new Uint16Array([0x0001, 0x8000, 0x7c00, 0xfc00, 0x7e00, 0x03ff]);
    const header = { t: { dtype: 'F16', shape: [6], data_offsets: [0, 12] } };
    await writeFiles(folder, { 'model.safetensors': safetensorsFile(header, new Uint8Array(bits.buffer)) });
    const { tensors, close } = await openWeights(folder);
    const expected = [2 ** -24, -0, Infinity, -Infinity, NaN, (2 ** -14 * 1023) / 1024];
    expect([...(await tensors.get('t')!.readRows(0, 6))]).toEqual(expected);
    await close();
  });

  it('is refused', async () => {
    const wrong: [claim: string, work: () => Promise<unknown>, message: RegExp][] = [
      [
        'a header above the limit',
        () => single({}, data(0), limits.safetensorsHeaderBytes + 1),
        /declares a header of 33554433 bytes/,
      ],
      ['a header of 2^64 bytes', () => single({}, data(0), 2n ** 64n - 1n), /declares a header/],
      ['a header beyond the end', () => single({}, data(0), 1000), /ends at byte 10, but/],
      ['an empty file', () => open({ 'model.safetensors': '' }), /ends at byte 0/],
      ['no JSON', () => single('{"a":'), /is no JSON/],
      ['an array', () => single('[]'), /holds an array/],
      ['a tensor that is a number', () => single({ t: 4 }), /entry t is wrong/],
      ['negative offsets', () => single({ t: f32(-4, 0) }), /entry t is wrong/],
      [
        'offsets that are fractions',
        () => single({ t: { ...f32(0, 4), data_offsets: [0.5, 4] } }, data(8)),
        /entry t is wrong/,
      ],
      [
        'offsets beyond 2^53',
        () => single('{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,1e300]}}'),
        /entry t is wrong/,
      ],
      [
        'an end before the start',
        () => single({ t: { ...f32(4, 4), data_offsets: [8, 4] } }, data(16)),
        /claims bytes 8 to 4/,
      ],
      ['data beyond the end', () => single({ t: f32(0, 8) }, data(7)), /claims bytes 0 to 8 of 7/],
      [
        'a shape larger than its bytes',
        () => single({ t: f32(0, 8, [3]) }, data(8)),
        /takes 12 bytes; the header gives it 8/,
      ],
      [
        'a product that overflows',
        () => single({ t: f32(0, 8, [2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1]) }, data(8)),
        /takes .* bytes/,
      ],
      ['a dimension above the limit', () => single({ t: f32(0, 8, [2 ** 31]) }, data(8)), /entry t is wrong/],
      ['five dimensions', () => single({ t: f32(0, 4, [1, 1, 1, 1, 1]) }, data(4)), /entry t is wrong/],
      ['a negative dimension', () => single({ t: f32(0, 8, [-1, -2]) }, data(8)), /entry t is wrong/],
      [
        'overlapping data',
        () => single({ a: f32(0, 8), b: f32(4, 12) }, data(12)),
        /data of a and b overlap/,
      ],
      [
        'a name above the limit',
        () => single({ ['t'.repeat(limits.nameBytes + 1)]: f32(0, 4) }, data(4)),
        /name has 4097 characters/,
      ],
    ];
    for (const [claim, work, message] of wrong) {
      await expect(work(), claim).rejects.toThrow(InvalidDataError);
      await expect(work(), claim).rejects.toThrow(message);
    }
  });

  it('is refused with too many tensors', async () => {
    const header = Object.fromEntries(
      Array.from({ length: limits.tensors + 1 }, (_, i) => [`t${i}`, f32(0, 0)]),
    );
    await expect(single(header)).rejects.toThrow(/declares 100001 tensors, more than 100000/);
  });

  it('is refused wherever it is cut', async () => {
    const whole = await readFile(join(picoPath('llama-bf16'), 'model.safetensors'));
    for (let length = 0; length < whole.length; length += 2503) {
      await expect(open({ 'model.safetensors': whole.subarray(0, length) }), `${length}`).rejects.toThrow(
        InvalidDataError,
      );
    }
  });

  it('says that it is missing, and why a pickle will not do', async () => {
    await expect(open({})).rejects.toThrow(NotFoundError);
    await expect(open({ 'pytorch_model.bin': '' })).rejects.toThrow(/pickles/);
  });
});

describe('an index', () => {
  const shard = safetensorsFile({ a: f32(0, 4) }, data(4));
  const indexOf = (weight_map: object) => ({ [indexName]: { metadata: {}, weight_map } });

  it('brings the tensors of all its files together', async () => {
    const other = safetensorsFile({ b: f32(0, 4), a: f32(4, 8) }, data(8));
    const files = { 'x.safetensors': shard, 'y.safetensors': other };
    const tensors = await open({ ...indexOf({ a: 'x.safetensors', b: 'y.safetensors' }), ...files });
    expect([...tensors.keys()].sort()).toEqual(['a', 'b']);
  });

  it.each([
    '../x.safetensors',
    '/etc/x.safetensors',
    'sub/x.safetensors',
    'sub\\x.safetensors',
    '..',
    'x.bin',
    'x\0.safetensors',
    '',
  ])('is refused where it names the file %j', async (name) => {
    await expect(open({ ...indexOf({ a: name }), 'x.safetensors': shard })).rejects.toThrow(/plain name/);
  });

  it('is refused where a file is a link out of the folder', async () => {
    const outside = await writeFiles(await temporaryFolder(), { 'x.safetensors': shard });
    const folder = await writeFiles(await temporaryFolder(), indexOf({ a: 'x.safetensors' }));
    await symlink(join(outside, 'x.safetensors'), join(folder, 'x.safetensors'));
    await expect(openWeights(folder)).rejects.toThrow(/is a link to .* outside/);
  });

  it("follows the links of the hub's own cache", async () => {
    const root = await temporaryFolder();
    await writeFiles(join(root, 'blobs'), { abc: shard });
    const folder = await writeFiles(join(root, 'snapshots', 'rev'), indexOf({ a: 'x.safetensors' }));
    await symlink('../../blobs/abc', join(folder, 'x.safetensors'));
    const { tensors, close } = await openWeights(folder);
    expect(tensors.size).toBe(1);
    await close();
  });

  it('is refused', async () => {
    const many = Object.fromEntries(
      Array.from({ length: limits.shards + 1 }, (_, i) => [`t${i}`, `${i}.safetensors`]),
    );
    const wrong: [claim: string, work: () => Promise<unknown>, message: RegExp][] = [
      ['too many files', () => open(indexOf(many)), /names 1025 files, more than 1024/],
      ['a file that is not there', () => open(indexOf({ a: 'x.safetensors' })), /does not exist/],
      [
        'a tensor that is not there',
        () => open({ ...indexOf({ a: 'x.safetensors', b: 'x.safetensors' }), 'x.safetensors': shard }),
        /places b in x/,
      ],
      ['a map of numbers', () => open(indexOf({ a: 4 })), /is no index/],
      ['no map', () => open({ [indexName]: {} }), /is no index/],
      [
        'above the limit',
        () => open({ [indexName]: new Uint8Array(limits.indexBytes + 1) }),
        /no more than 33554432 are read/,
      ],
    ];
    for (const [claim, work, message] of wrong) await expect(work(), claim).rejects.toThrow(message);
  });
});
