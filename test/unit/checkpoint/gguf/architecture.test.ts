import { describe, expect, it } from 'vitest';
import { InvalidDataError } from '../../../../artifact/errors.ts';
import type { StoredTensor } from '../../../../compressor/checkpoint/canonical.ts';
import { familyOfGguf } from '../../../../compressor/checkpoint/family.ts';
import { architectureOf } from '../../../../compressor/checkpoint/gguf/architecture.ts';
import type { GgufValue } from '../../../../compressor/checkpoint/gguf/header.ts';
import { Metadata } from '../../../../compressor/checkpoint/gguf/metadata.ts';
import { limits } from '../../../../compressor/checkpoint/limits.ts';

type Values = Record<string, GgufValue | undefined>;

const sizes: Values = {
  embedding_length: 32,
  block_count: 7,
  'attention.head_count': 4,
  'attention.head_count_kv': 2,
  'attention.layer_norm_rms_epsilon': 1e-6,
  feed_forward_length: 64,
  context_length: 128,
};

const stored = (name: string, values: number[], shape = [values.length]): StoredTensor => ({
  name,
  shape,
  storedAs: 'F32',
  readRows: async () => Float32Array.from(values),
});

function read(family: string, change: Values = {}, tensors: StoredTensor[] = []) {
  const entries = Object.entries({ ...sizes, ...change }).filter(([, value]) => value !== undefined);
  const metadata = new Metadata(
    new Map(entries.map(([key, value]) => [key.startsWith('split.') ? key : `${family}.${key}`, value!])),
    'x.gguf',
  );
  const all = [stored('token_embd.weight', [], [300, 32]), ...tensors];
  return architectureOf(
    metadata,
    new Map(all.map((tensor) => [tensor.name, tensor])),
    familyOfGguf(family, 'x.gguf'),
    'x.gguf',
  );
}

describe('a GGUF header', () => {
  it('gives a Llama, its vocabulary counted by the rows of the embedding', async () => {
    expect(await read('llama')).toMatchObject({
      family: 'llama',
      vocabularySize: 300,
      headSize: 8,
      tiedHead: true,
      qkvBias: false,
      attentionScale: 8 ** -0.5,
      rotaries: [{ inverseFrequencies: [1, 0.1, 0.01, 0.001], magnitude: 1 }],
    });
  });

  it('has biases and a head of its own where the tensors are there', async () => {
    const tensors = [stored('blk.0.attn_q.bias', [0]), stored('output.weight', [0])];
    expect(await read('llama', {}, tensors)).toMatchObject({ qkvBias: true, tiedHead: false });
    expect(await read('qwen2')).toMatchObject({ qkvBias: true });
  });

  it('divides the frequencies by rope_freqs.weight', async () => {
    const { rotaries } = await read('llama', {}, [stored('rope_freqs.weight', [1, 1, 2, 8])]);
    for (const [i, wanted] of [1, 0.1, 0.005, 0.000125].entries()) {
      expect(rotaries[0]!.inverseFrequencies[i]).toBeCloseTo(wanted, 10);
    }
  });

  it('scales linearly, by name or in the old form without one, and by YaRN', async () => {
    const first = async (change: Values) => (await read('llama', change)).rotaries[0]!;
    const named = await first({ 'rope.scaling.type': 'linear', 'rope.scaling.factor': 4 });
    expect(named.inverseFrequencies[0]).toBe(0.25);
    expect((await first({ 'rope.scale_linear': 4 })).inverseFrequencies[0]).toBe(0.25);
    expect(
      (await first({ 'rope.scaling.type': 'none', 'rope.scaling.factor': 4 })).inverseFrequencies[0],
    ).toBe(1);
    const yarn = {
      'rope.scaling.type': 'yarn',
      'rope.scaling.factor': 4,
      'rope.scaling.original_context_length': 32,
    };
    expect((await first(yarn)).magnitude).toBeCloseTo(0.1 * Math.log(4) + 1);
    expect((await first({ ...yarn, 'rope.scaling.attn_factor': 2 })).magnitude).toBeCloseTo(
      2 * (0.1 * Math.log(4) + 1),
    );
  });

  it("gives Gemma 3 its windows, by llama.cpp's rule or the file's own", async () => {
    const window = { 'attention.sliding_window': 16 };
    const windows = async (change: Values) =>
      (await read('gemma3', change)).layers.map((layer) => layer.window);
    expect(await windows(window)).toEqual([16, 16, 16, 16, 16, undefined, 16]);
    expect(await windows({ ...window, 'attention.sliding_window_pattern': 2 })).toEqual([
      16,
      undefined,
      16,
      undefined,
      16,
      undefined,
      16,
    ]);
    const own = { ...window, 'attention.sliding_window_pattern': Float64Array.of(1, 0, 0, 1, 1, 1, 0) };
    expect(await windows(own)).toEqual([16, undefined, undefined, 16, 16, 16, undefined]);
    const { layers, rotaries } = await read('gemma3', {
      ...window,
      'rope.freq_base': 1e6,
      'rope.scaling.type': 'linear',
      'rope.scaling.factor': 8,
    });
    expect(layers.map(({ rotary }) => rotary)).toEqual([1, 1, 1, 1, 1, 0, 1]);
    expect(rotaries[0]!.inverseFrequencies[0]).toBe(1 / 8);
    expect(rotaries[1]!.inverseFrequencies[1]).toBeCloseTo(10_000 ** (-2 / 8));
  });

  it('scales the attention of the 62-layer Gemma by width per head', async () => {
    expect(
      (await read('gemma3', { block_count: 62, 'attention.key_length': 16 })).attentionScale,
    ).toBeCloseTo(8 ** -0.5);
    expect((await read('gemma3', { 'attention.key_length': 16 })).attentionScale).toBeCloseTo(0.25);
  });
});

describe('a GGUF header is refused', () => {
  it.each<[why: string, family: string, change: Values, message: RegExp]>([
    ['experts', 'llama', { expert_count: 8 }, /mixture of experts \(llama\.expert_count: 8\)/],
    ['softcapping', 'gemma3', { final_logit_softcapping: 30 }, /logit softcapping/],
    ['a part of a model', 'llama', { 'split.count': 3 }, /one of 3 parts.*--merge/],
    ['no width', 'llama', { embedding_length: undefined }, /lacks the key llama\.embedding_length/],
    ['a width of 0', 'llama', { embedding_length: 0 }, /Expected a whole number from 1/],
    [
      'a width beyond the limit',
      'llama',
      { embedding_length: limits.dimension + 1 },
      /embedding_length is 2147483648/,
    ],
    ['a width that is a text', 'llama', { embedding_length: '32' }, /is "32"/],
    ['too many layers', 'llama', { block_count: limits.layers + 1 }, /from 1 to 1024/],
    [
      'heads by layer',
      'llama',
      { 'attention.head_count': Float64Array.of(4, 4) },
      /an array of 2\. Expected a whole number/,
    ],
    [
      'heads that do not divide the width',
      'llama',
      { 'attention.head_count': 3, 'attention.head_count_kv': 3 },
      /heads have 10\.66/,
    ],
    ['heads that do not share evenly', 'llama', { 'attention.head_count_kv': 3 }, /cannot share 3/],
    ['a part of a head rotated', 'llama', { 'rope.dimension_count': 4 }, /rotates 4 of 8/],
    ['values of another size', 'llama', { 'attention.value_length': 16 }, /keys of 8 and values of 16/],
    ['no epsilon', 'llama', { 'attention.layer_norm_rms_epsilon': undefined }, /rms_epsilon is undefined/],
    ['an epsilon of 0', 'llama', { 'attention.layer_norm_rms_epsilon': 0 }, /rms_epsilon is 0/],
    ['a frequency base below 0', 'llama', { 'rope.freq_base': -1 }, /freq_base is -1/],
    [
      'a frequency base that is no number',
      'llama',
      { 'rope.freq_base': Number.NaN },
      /Expected a finite number/,
    ],
    ['longrope', 'llama', { 'rope.scaling.type': 'longrope' }, /rope scaling "longrope"/],
    [
      'a pattern of another length',
      'gemma3',
      { 'attention.sliding_window': 4, 'attention.sliding_window_pattern': Float64Array.of(1) },
      /1 entries for 7/,
    ],
  ])('for %s', async (_, family, change, message) => {
    await expect(read(family, change)).rejects.toThrow(InvalidDataError);
    await expect(read(family, change)).rejects.toThrow(message);
  });

  it('for frequencies of another size, or none', async () => {
    await expect(read('llama', {}, [stored('rope_freqs.weight', [1, 1])])).rejects.toThrow(
      /shape \[2\], expected \[4\]/,
    );
    await expect(read('llama', {}, [stored('rope_freqs.weight', [1, 1, 0, 1])])).rejects.toThrow(/above 0/);
  });

  it('for an architecture that is unknown', () => {
    expect(() => familyOfGguf('phi3', 'x.gguf')).toThrow(
      '"phi3". Foldgate reads GGUF files of llama, qwen2, qwen3, gemma3',
    );
  });
});
