import { copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InvalidDataError, NotFoundError, UsageError } from '../../../artifact/errors.ts';
import type { TensorRole } from '../../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { picoForms, picoPath } from '../../fixtures/pico.ts';
import { safetensorsFile, writeFiles } from '../../fixtures/safetensors.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

/** Tensors of a safetensors file, to change and write again. */
async function tensorsOf(
  path: string,
): Promise<{ header: Record<string, { shape: number[]; data_offsets: number[] }>; data: Uint8Array }> {
  const bytes = await readFile(path);
  const length = Number(bytes.readBigUInt64LE(0));
  return {
    header: JSON.parse(bytes.toString('utf8', 8, 8 + length)),
    data: new Uint8Array(bytes.subarray(8 + length)),
  };
}

/** The pico llama with other files in place of some of its own. */
async function changedLlama(
  change: Record<string, string | Uint8Array | object>,
  without: string[] = [],
): Promise<string> {
  const folder = await temporaryFolder();
  const names = [
    'config.json',
    'tokenizer.json',
    'tokenizer_config.json',
    'generation_config.json',
    'model.safetensors',
  ];
  for (const name of names)
    if (!without.includes(name)) await copyFile(join(picoPath('llama'), name), join(folder, name));
  return writeFiles(folder, change);
}

describe('what is opened', () => {
  it.each(picoForms)('%s: every tensor its architecture has, rows as in the whole', async (form) => {
    const checkpoint = await openCheckpoint(picoPath(form));
    const { architecture } = checkpoint;
    expect(checkpoint.tokens).toMatchObject({ bos: 0, eos: [2, 0] });
    expect(checkpoint.tokens.chatTemplate).toContain('<|im_start|>');
    const roles: TensorRole[] = [
      'embedding',
      'norm',
      'layers.1.attention.k',
      'layers.2.mlp.down',
      'layers.0.mlp.norm',
    ];
    if (architecture.qkvBias) roles.push('layers.0.attention.q.bias');
    if (architecture.qkNorm) roles.push('layers.0.attention.k.norm');
    if (architecture.postNorms) roles.push('layers.0.mlp.postNorm');
    if (!architecture.tiedHead) roles.push('head');
    for (const role of roles) {
      const tensor = checkpoint.tensor(role);
      const [rows = 0, inputs = 1] = tensor.shape;
      const whole = await tensor.read();
      expect(whole).toHaveLength(rows * inputs);
      expect(await tensor.read(5, 3)).toEqual(whole.slice(5 * inputs, 8 * inputs));
      // Random weights all differ: zeros would be bytes that were never read.
      expect(new Set(whole).size).toBeGreaterThan(rows / 4);
    }
    await checkpoint.close();
  });

  it('is a folder with one GGUF file too, but not with two', async () => {
    const folder = await temporaryFolder();
    await copyFile(picoPath('llama-q8_0.gguf'), join(folder, 'a.gguf'));
    const checkpoint = await openCheckpoint(folder);
    expect(checkpoint.name).toBe('a');
    await checkpoint.close();
    await copyFile(picoPath('llama-q8_0.gguf'), join(folder, 'b.gguf'));
    await expect(openCheckpoint(folder)).rejects.toThrow(UsageError);
    await expect(openCheckpoint(folder)).rejects.toThrow('a.gguf, b.gguf');
  });

  it('is nothing that is not there', async () => {
    const folder = await temporaryFolder();
    await expect(openCheckpoint(join(folder, 'none'))).rejects.toThrow(NotFoundError);
    await expect(openCheckpoint(folder)).rejects.toThrow(/holds no checkpoint/);
    await mkdir(join(folder, 'x.gguf'));
    await expect(openCheckpoint(folder)).rejects.toThrow(/no regular file|holds no checkpoint/);
    await writeFile(join(folder, 'notes.txt'), 'GGUFx');
    await expect(openCheckpoint(join(folder, 'notes.txt'))).rejects.toThrow(InvalidDataError);
  });

  it('gives the same weights as Q4_0 blocks and as float32', async () => {
    const checkpoint = await openCheckpoint(picoPath('llama-q4_0.gguf'));
    for (const role of ['layers.0.attention.q', 'layers.2.mlp.up', 'embedding'] as const) {
      const tensor = checkpoint.tensor(role);
      const [whole, blocks] = [await tensor.read(2, 19), await tensor.readBlocks!(2, 19)];
      const weights = Float32Array.from(
        blocks.values,
        (code, i) => (code - 8) * blocks.scales[Math.floor(i / 32)]!,
      );
      expect(weights.map((weight) => weight + 0)).toEqual(whole.map((weight) => weight + 0));
    }
    await checkpoint.close();
  });
});

describe('a checkpoint is refused', () => {
  it('with a tensor missing, of another shape, or too many', async () => {
    const { header, data } = await tensorsOf(join(picoPath('llama'), 'model.safetensors'));
    const name = 'model.layers.1.mlp.up_proj.weight';
    const { [name]: tensor, ...others } = header;
    const weights = (changed: object) => ({ 'model.safetensors': safetensorsFile(changed, data) });

    const missing = await changedLlama(weights(others));
    await expect(openCheckpoint(missing)).rejects.toThrow(`lacks the tensor ${name}`);
    const turned = await changedLlama(
      weights({ ...header, [name]: { ...tensor, shape: tensor!.shape.toReversed() } }),
    );
    await expect(openCheckpoint(turned)).rejects.toThrow(
      'has shape [32, 64], the architecture asks for [64, 32]',
    );
    const empty = { dtype: 'F32', shape: [0], data_offsets: [0, 0] };
    const more = await changedLlama(weights({ ...header, 'model.layers.1.self_attn.q_norm.weight': empty }));
    await expect(openCheckpoint(more)).rejects.toThrow(
      'q_norm.weight, which a llama model of 3 layers does not use',
    );
    const derived = await changedLlama(
      weights({ ...header, 'model.layers.1.self_attn.rotary_emb.inv_freq': empty }),
    );
    await (await openCheckpoint(derived)).close();
  });

  it('with a bias on the output of attention, unless it is zero', async () => {
    const { header, data } = await tensorsOf(join(picoPath('llama'), 'model.safetensors'));
    const bias = { dtype: 'F32', shape: [32], data_offsets: [data.length, data.length + 128] };
    const name = 'model.layers.0.self_attn.o_proj.bias';
    const open = async (values: Float32Array) => {
      const all = new Uint8Array(Buffer.concat([data, new Uint8Array(values.buffer)]));
      return openCheckpoint(
        await changedLlama({ 'model.safetensors': safetensorsFile({ ...header, [name]: bias }, all) }),
      );
    };
    await expect(open(new Float32Array(32).fill(0.5, 31))).rejects.toThrow(/bias on attention's output/);
    await (await open(new Float32Array(32))).close();
  });

  it('with weights in a form that is not read', async () => {
    const { header, data } = await tensorsOf(join(picoPath('llama'), 'model.safetensors'));
    const name = 'model.norm.weight';
    const folder = await changedLlama({
      'model.safetensors': safetensorsFile(
        { ...header, [name]: { ...header[name], dtype: 'F8_E4M3' } },
        data,
      ),
    });
    await expect(openCheckpoint(folder)).rejects.toThrow(
      'model.norm.weight is stored as F8_E4M3. Foldgate reads F32, F16, BF16',
    );
  });

  it('without a tokenizer, when that is asked for', async () => {
    const checkpoint = await openCheckpoint(await changedLlama({}, ['tokenizer.json']));
    await expect(checkpoint.tokenizerFiles()).rejects.toThrow(/tokenizer\.json does not exist/);
    await checkpoint.close();
  });
});

describe('a file that is a link out of the folder', () => {
  it.each(['chat_template.jinja', 'tokenizer_config.json', 'generation_config.json', 'config.json'])(
    'is refused as %s',
    async (name) => {
      const outside = await writeFiles(await temporaryFolder(), { secret: '{"aws_secret": 1}' });
      const folder = await changedLlama({}, [name]);
      await symlink(join(outside, 'secret'), join(folder, name));
      await expect(openCheckpoint(folder)).rejects.toThrow(/is a link to .*secret, outside/);
    },
  );
});

const tokenizer = JSON.parse(await readFile(join(picoPath('llama'), 'tokenizer.json'), 'utf8'));

describe('tokens that the embedding has no row for', () => {
  const rows = 288;
  const opened = async (change: Record<string, string | object>) =>
    (await openCheckpoint(await changedLlama(change))).close();
  const added = (id: number, special: boolean) => ({
    ...tokenizer,
    added_tokens: [...tokenizer.added_tokens, { id, content: '<image>', special }],
  });

  it('are refused by name', async () => {
    const { model } = tokenizer;
    const long = { ...tokenizer, model: { ...model, vocab: { ...model.vocab, beyond: rows } } };
    await expect(opened({ 'tokenizer.json': long })).rejects.toThrow(/"beyond" has the id 288.*288 rows/);
    await expect(opened({ 'tokenizer.json': added(rows, false) })).rejects.toThrow(/"<image>"/);
    const ids = { bos_token_id: rows, eos_token_id: 2 };
    await expect(opened({ 'generation_config.json': ids })).rejects.toThrow(/beginning-of-text .* 288/);
    const ends = { eos_token_id: [2, 999] };
    await expect(opened({ 'generation_config.json': ends })).rejects.toThrow(/end-of-text .* 999/);
  });

  it("pass where no text holds them, as Gemma's image token, and the last row is one too", async () => {
    await opened({ 'tokenizer.json': added(rows, true) });
    await opened({ 'tokenizer.json': added(rows - 1, false) });
  });
});

describe('tokens of a Hugging Face folder', () => {
  const tokensOf = async (change: Record<string, object | string>, without: string[] = []) => {
    const checkpoint = await openCheckpoint(await changedLlama(change, without));
    await checkpoint.close();
    return checkpoint.tokens;
  };

  it('end at what either config says, one or a list', async () => {
    expect((await tokensOf({}, ['generation_config.json'])).eos).toEqual([2]);
    expect((await tokensOf({ 'generation_config.json': { eos_token_id: 7 } })).eos).toEqual([7, 2]);
    expect((await tokensOf({ 'generation_config.json': { eos_token_id: [5, 2] } })).eos).toEqual([5, 2]);
    await expect(tokensOf({ 'generation_config.json': { eos_token_id: -1 } })).rejects.toThrow(
      /wrong token ids/,
    );
  });

  it('are those of the family where no config says any', async () => {
    const config = JSON.parse(await readFile(join(picoPath('llama'), 'config.json'), 'utf8'));
    const { bos_token_id, eos_token_id, ...silent } = config;
    const none = { ...config, bos_token_id: null, eos_token_id: null };
    const read = async (config: object) => {
      const { bos, eos } = await tokensOf({ 'config.json': config }, ['generation_config.json']);
      return { bos, eos };
    };
    expect(await read(silent)).toEqual({ bos: 1, eos: [2] });
    expect(await read(none)).toEqual({ bos: undefined, eos: [] });
    expect(await read(config)).toEqual({ bos: bos_token_id, eos: [eos_token_id] });
  });

  it('come with the sampling that its makers advise', async () => {
    const samplingOf = async (generation: object) =>
      (await tokensOf({ 'generation_config.json': generation })).sampling;
    const drawn = { temperature: 0.7, top_p: 0.8, top_k: 20, min_p: 0.05 };
    expect(await samplingOf({ eos_token_id: 2, ...drawn, repetition_penalty: 1.1, max_length: 9 })).toEqual({
      ...{ temperature: 0.7, topP: 0.8, topK: 20, minP: 0.05, repetitionPenalty: 1.1 },
    });
    expect(await samplingOf({ eos_token_id: 2, top_p: null })).toBeUndefined();
    expect(await samplingOf({ do_sample: false, ...drawn, repetition_penalty: 1.1 })).toEqual({
      repetitionPenalty: 1.1,
    });
    for (const wrong of [{ temperature: -1 }, { top_k: 0.5 }, { repetition_penalty: '1' }])
      await expect(samplingOf(wrong)).rejects.toThrow(/wrong sampling in generation_config/);
  });

  it('take their chat template from a file, a text or a list', async () => {
    const inConfig = (chat_template: unknown) => ({ 'tokenizer_config.json': { chat_template } });
    expect((await tokensOf({ 'chat_template.jinja': 'file' })).chatTemplate).toBe('file');
    expect((await tokensOf(inConfig('text'))).chatTemplate).toBe('text');
    const named = [
      { name: 'tool_use', template: 'tools' },
      { name: 'default', template: 'plain' },
    ];
    expect((await tokensOf(inConfig(named))).chatTemplate).toBe('plain');
    expect((await tokensOf({}, ['tokenizer_config.json'])).chatTemplate).toBeUndefined();
  });
});
