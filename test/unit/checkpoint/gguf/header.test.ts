import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gguf as readWithHub } from '@huggingface/gguf';
import { describe, expect, it } from 'vitest';
import { InvalidDataError } from '../../../../artifact/errors.ts';
import { readGgufHeader } from '../../../../compressor/checkpoint/gguf/header.ts';
import { storedTensors } from '../../../../compressor/checkpoint/gguf/tensors.ts';
import { limits } from '../../../../compressor/checkpoint/limits.ts';
import { RangeFile } from '../../../../compressor/checkpoint/range-file.ts';
import {
  array,
  concat,
  type GgufClaims,
  ggufFile,
  ggufTypes,
  string,
  u32,
  u64,
} from '../../../fixtures/gguf.ts';
import { picoPath } from '../../../fixtures/pico.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

async function read(bytes: Uint8Array) {
  const path = join(await temporaryFolder(), 'x.gguf');
  await writeFile(path, bytes);
  await using file = await RangeFile.open(path);
  const header = await readGgufHeader(file);
  return { ...header, stored: storedTensors(file, header.tensors) };
}

const huge = 2n ** 64n - 1n;
const f32Tensor = (name: string, offset: number | bigint, dimensions: (number | bigint)[] = [8]) => ({
  name,
  dimensions,
  type: 0,
  offset,
});
const withKey = (type: number, payload: Uint8Array): GgufClaims => ({ keys: [['k', type, payload]] });

describe('a GGUF header', () => {
  it.each(['llama-q4_0.gguf', 'llama-q8_0.gguf'] as const)(
    "of %s reads as with the hub's own library",
    async (form) => {
      const path = picoPath(form);
      const ours = await read(await readFile(path));
      const theirs = await readWithHub(path, { allowLocalFile: true });
      const { version, tensor_count, kv_count, ...values } = theirs.metadata as Record<string, unknown>;
      expect(ours.version).toBe(version);
      expect(ours.values.size).toBe(Number(kv_count));
      for (const [key, value] of ours.values) {
        expect(value instanceof Float64Array ? [...value] : value, key).toEqual(values[key]);
      }
      expect(ours.tensors).toEqual(
        theirs.tensorInfos.map(({ name, shape, dtype, offset }) => ({
          name,
          dimensions: shape.map(Number),
          type: dtype,
          offset: Number(offset + theirs.tensorDataOffset),
        })),
      );
    },
  );

  it('keeps a byte order mark that is a piece, and strings longer than what is read at a time', async () => {
    const long = 'x'.repeat(3 * 2 ** 20);
    const { values } = await read(
      ggufFile({
        keys: [
          ['pieces', ggufTypes.array, array(ggufTypes.string, [string('\ufeff'), string(''), string('▁🎉')])],
          ['long', ggufTypes.string, string(long)],
          ['__proto__', ggufTypes.uint32, u32(7)],
        ],
      }),
    );
    expect(values.get('pieces')).toEqual(['\ufeff', '', '▁🎉']);
    expect(values.get('long')).toBe(long);
    expect(values.get('__proto__')).toBe(7);
  });

  it('of version 2 is read', async () => {
    expect((await read(ggufFile({ version: 2 }))).version).toBe(2);
  });
});

describe('a GGUF header is refused', () => {
  it.each<[claim: string, GgufClaims, RegExp]>([
    ['another file', { magic: 'GGML' }, /does not begin with "GGUF"/],
    ['version 1', { version: 1 }, /version 1; versions 2 and 3/],
    ['version 4', { version: 4 }, /version 4/],
    ['big-endian', { version: 0x0300_0000 }, /big-endian/],
    ['too many tensors', { tensorCount: limits.tensors + 1 }, /tensor count is 100001, more than/],
    ['2^64 tensors', { tensorCount: huge }, /tensor count/],
    ['more tensors than there are', { tensorCount: 1000 }, /ends inside its header/],
    ['too many keys', { keyCount: limits.ggufKeys + 1 }, /count of keys is 10001, more than/],
    ['more keys than there are', { keyCount: 3 }, /ends inside its header/],
    [
      'a key above the limit',
      { keys: [['k'.repeat(limits.nameBytes + 1), 4, u32(1)]] },
      /claims 4097 bytes, more than 4096/,
    ],
    [
      'a string above the limit',
      withKey(8, u64(limits.ggufStringBytes + 1)),
      /claims 4194305 bytes, more than/,
    ],
    ['a string beyond the end', withKey(8, u64(1000)), /ends inside its header/],
    ['a string that is no UTF-8', withKey(8, concat([u64(2), new Uint8Array([0xff, 0xfe])])), /no UTF-8/],
    ['an unknown type', withKey(13, u32(0)), /unknown type 13/],
    ['an array of arrays', withKey(9, array(9, [])), /array of type 9/],
    [
      'an array above the limit',
      withKey(9, array(4, [], limits.ggufArray + 1)),
      /length is 2097153, more than/,
    ],
    ['an array longer than the file', withKey(9, array(10, [], 1_000_000)), /claims 1000000 elements/],
    ['strings that cannot all be there', withKey(9, array(8, [], 1_000_000)), /claims 1000000 elements/],
    [
      'a key twice',
      {
        keys: [
          ['k', 4, u32(1)],
          ['k', 4, u32(2)],
        ],
      },
      /key k comes twice/,
    ],
    ['alignment 0', { keys: [['general.alignment', 4, u32(0)]] }, /general\.alignment is 0/],
    ['alignment 33', { keys: [['general.alignment', 4, u32(33)]] }, /power of two/],
    ['alignment 2^31', { keys: [['general.alignment', 4, u32(2 ** 31)]] }, /power of two up to 65536/],
    [
      'a tensor twice',
      { tensors: [f32Tensor('t', 0), f32Tensor('t', 32)], data: new Uint8Array(64) },
      /tensor t comes twice/,
    ],
    [
      'a name above the limit',
      { tensors: [f32Tensor('t'.repeat(limits.nameBytes + 1), 0)] },
      /claims 4097 bytes/,
    ],
    ['no dimension', { tensors: [f32Tensor('t', 0, [])] }, /0 dimensions/],
    ['five dimensions', { tensors: [f32Tensor('t', 0, [1, 1, 1, 1, 1])] }, /5 dimensions/],
    ['a dimension of 0', { tensors: [f32Tensor('t', 0, [0])] }, /dimension of 0/],
    [
      'a dimension above the limit',
      { tensors: [f32Tensor('t', 0, [limits.dimension + 1])] },
      /dimension of 2147483648/,
    ],
    [
      'a product beyond the file',
      { tensors: [f32Tensor('t', 0, [2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1])] },
      /ends at byte/,
    ],
    [
      'a product that overflows 64 bits to 0',
      { tensors: [f32Tensor('t', 0, [2 ** 30, 2 ** 30, 16])] },
      /ends at byte/,
    ],
    ['an offset of 2^64', { tensors: [f32Tensor('t', huge)] }, /begins .* bytes into data/],
    ['an offset beyond the end', { tensors: [f32Tensor('t', 64)], data: new Uint8Array(32) }, /ends at byte/],
    ['an odd offset', { tensors: [f32Tensor('t', 4)], data: new Uint8Array(64) }, /no multiple of 32/],
    ['data cut short', { tensors: [f32Tensor('t', 0)], data: new Uint8Array(31) }, /truncated or damaged/],
    [
      'overlapping data',
      { tensors: [f32Tensor('a', 0, [16]), f32Tensor('b', 32)], data: new Uint8Array(128) },
      /data of a and b overlap/,
    ],
    [
      'rows that are no whole blocks',
      { tensors: [{ ...f32Tensor('t', 0, [33]), type: 2 }] },
      /takes multiples of 32/,
    ],
  ])('%s', async (_, claims, message) => {
    const refusal = read(ggufFile(claims));
    await expect(refusal).rejects.toThrow(InvalidDataError);
    await expect(refusal).rejects.toThrow(message);
  });

  it('a key of 2^64 bytes', async () => {
    const header = concat([new TextEncoder().encode('GGUF'), u32(3), u64(0), u64(1), u64(huge)]);
    await expect(read(header)).rejects.toThrow(/a key claims .* bytes, more than 4096/);
  });

  it('where it goes on beyond the limit', async () => {
    const text = string('x'.repeat(limits.ggufStringBytes));
    const count = limits.ggufHeaderBytes / limits.ggufStringBytes + 1;
    const keys = Array.from({ length: count }, (_, i): [string, number, Uint8Array] => [`k${i}`, 8, text]);
    await expect(read(ggufFile({ keys }))).rejects.toThrow(/header exceeds 67108864 bytes/);
  });

  it('wherever the file is cut', async () => {
    const whole = await readFile(picoPath('llama-q4_0.gguf'));
    await expect(read(whole)).resolves.toBeDefined();
    for (let length = 0; length < whole.length; length += 997) {
      await expect(read(whole.subarray(0, length)), `${length} bytes`).rejects.toThrow(InvalidDataError);
    }
    await expect(read(whole.subarray(0, -1)), 'one byte short').rejects.toThrow(InvalidDataError);
  });

  it('takes what lies exactly on the limits', async () => {
    const { tensors, values } = await read(
      ggufFile({
        keys: [
          ['k'.repeat(limits.nameBytes), 4, u32(1)],
          ['general.alignment', 4, u32(65_536)],
          ['text', 8, string('x'.repeat(limits.ggufStringBytes))],
        ],
        tensors: [{ ...f32Tensor('t', 0, [1, 1, 1, 1]), type: 0 }],
        data: new Uint8Array(65_536),
      }),
    );
    expect(tensors).toHaveLength(1);
    expect(values.size).toBe(3);
  });
});
