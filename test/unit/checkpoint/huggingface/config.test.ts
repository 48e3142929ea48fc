import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InvalidDataError } from '../../../../artifact/errors.ts';
import type { Architecture } from '../../../../compressor/checkpoint/architecture.ts';
import { familyOfConfig } from '../../../../compressor/checkpoint/family.ts';
import { architectureOf } from '../../../../compressor/checkpoint/huggingface/config.ts';
import { limits } from '../../../../compressor/checkpoint/limits.ts';
import { type PicoForm, picoPath } from '../../../fixtures/pico.ts';

type Config = Record<string, unknown>;

async function configOf(form: PicoForm): Promise<Config> {
  return JSON.parse(await readFile(join(picoPath(form), 'config.json'), 'utf8'));
}
function read(config: Config): Architecture {
  return architectureOf(config, familyOfConfig(config, 'config.json'), 'config.json');
}
const llama = await configOf('llama');
const gemma3 = await configOf('gemma3');
const without = (config: Config, ...names: string[]) =>
  Object.fromEntries(Object.entries(config).filter(([name]) => !names.includes(name)));
const windows = (architecture: Architecture) => architecture.layers.map(({ window }) => window);

describe('a config of the llama family', () => {
  it('says its rope scaling in the old form and the new', () => {
    const { rope_scaling, rope_theta } = llama;
    const renamed = { ...(rope_scaling as Config), type: 'llama3' };
    const old = read({ ...llama, rope_scaling: without(renamed, 'rope_type') });
    const modern = read({
      ...without(llama, 'rope_scaling', 'rope_theta'),
      rope_parameters: { ...(rope_scaling as Config), rope_theta },
    });
    expect(old.rotaries).toEqual(modern.rotaries);
    expect(read({ ...llama, rope_scaling: null }).rotaries).not.toEqual(old.rotaries);
  });

  it('means what transformers takes by default where a field is missing', () => {
    const names = [
      'rope_theta',
      'rope_scaling',
      'num_key_value_heads',
      'head_dim',
      'tie_word_embeddings',
      'hidden_act',
    ];
    expect(read(without(llama, ...names))).toMatchObject({
      kvHeads: 4,
      headSize: 8,
      tiedHead: false,
      activation: 'silu',
      rotaries: [{ inverseFrequencies: [1, 0.1, 0.01, 0.001] }],
    });
  });

  it('says whether q, k and v have biases', () => {
    expect(read({ ...llama, attention_bias: true }).qkvBias).toBe(true);
    expect(read(llama).qkvBias).toBe(false);
  });

  it('ignores a window, which the family has not', () => {
    expect(windows(read({ ...llama, sliding_window: 4 }))).toEqual([undefined, undefined, undefined]);
  });
});

describe('sliding windows', () => {
  it('are on every layer of Mistral, or none', async () => {
    const mistral = await configOf('mistral');
    expect(windows(read(mistral))).toEqual([12, 12, 12]);
    expect(windows(read({ ...mistral, sliding_window: null }))).toEqual([undefined, undefined, undefined]);
  });

  it('are on the last layers of Qwen where it uses them', async () => {
    const qwen = await configOf('qwen2');
    expect(windows(read(qwen))).toEqual([undefined, undefined, undefined]);
    const used = { ...qwen, use_sliding_window: true, max_window_layers: 1 };
    expect(windows(read(used))).toEqual([undefined, 64, 64]);
    const layer_types = ['sliding_attention', 'full_attention', 'full_attention'];
    expect(windows(read({ ...used, layer_types }))).toEqual([64, undefined, undefined]);
  });

  it('follow the pattern of Gemma 3, with the local rotary', () => {
    const config = { ...without(gemma3, 'layer_types', 'rope_parameters'), num_hidden_layers: 7 };
    const architecture = read({ ...config, rope_scaling: { rope_type: 'linear', factor: 8 } });
    expect(windows(architecture)).toEqual([12, 12, 12, 12, 12, undefined, 12]);
    expect(architecture.layers.map(({ rotary }) => rotary)).toEqual([1, 1, 1, 1, 1, 0, 1]);
    const [global, local] = architecture.rotaries;
    expect(global!.inverseFrequencies[0]).toBeCloseTo(1 / 8);
    expect(local!.inverseFrequencies[1]).toBeCloseTo(10_000 ** (-1 / 8));
    expect(global!.inverseFrequencies[1]).toBeCloseTo(1_000_000 ** (-1 / 8) / 8);
    expect(windows(read({ ...config, sliding_window_pattern: 2 })).filter(Boolean)).toHaveLength(4);
  });

  it('and rotaries of Gemma 3 read alike in the old form and the new', () => {
    const old = {
      ...without(gemma3, 'rope_parameters'),
      rope_theta: 1_000_000,
      rope_local_base_freq: 10_000,
      rope_scaling: { rope_type: 'linear', factor: 8 },
    };
    expect(read(old)).toEqual(read(gemma3));
  });
});

describe('Gemma 3', () => {
  it('is found inside a multimodal config, with the defaults that one leaves out', () => {
    const architecture = read({
      architectures: ['Gemma3ForConditionalGeneration'],
      model_type: 'gemma3',
      text_config: {
        hidden_size: 2560,
        intermediate_size: 10_240,
        model_type: 'gemma3_text',
        num_hidden_layers: 34,
        rope_scaling: { factor: 8, rope_type: 'linear' },
        sliding_window: 1024,
      },
      vision_config: {},
    });
    expect(architecture).toMatchObject({
      family: 'gemma3',
      vocabularySize: 262_208,
      width: 2560,
      heads: 8,
      kvHeads: 4,
      headSize: 256,
      contextLength: 131_072,
      activation: 'gelu_tanh',
      attentionScale: 1 / 16,
      tiedHead: true,
      postNorms: true,
      qkNorm: true,
    });
    expect(architecture.embeddingScale).toBeCloseTo(Math.sqrt(2560));
    expect(windows(architecture).filter((window) => window === undefined)).toHaveLength(5);
  });

  it('scales attention as the config says, not by the size of heads', () => {
    expect(read(gemma3).attentionScale).toBeCloseTo(24 ** -0.5);
  });
});

describe('a config is refused', () => {
  it.each<[why: string, change: Config, message: RegExp]>([
    [
      'an unknown architecture',
      { architectures: ['GPT2LMHeadModel'] },
      /GPT2LMHeadModel\. Foldgate folds LlamaForCausalLM, Mistral/,
    ],
    ['no architecture', { architectures: undefined, model_type: undefined }, /\(none\)\. Foldgate folds/],
    ['experts', { num_local_experts: 8 }, /asks for a mixture of experts \(num_local_experts: 8\)/],
    ['softcapping', { final_logit_softcapping: 30 }, /logit softcapping/],
    ['attention softcapping', { attn_logit_softcapping: 50 }, /attention logit softcapping/],
    ['biases in the MLP', { mlp_bias: true }, /biases in the MLP/],
    ['looking both ways', { use_bidirectional_attention: true }, /bidirectional attention/],
    ['a part of a head rotated', { partial_rotary_factor: 0.5 }, /part of a head/],
    [
      'quantized weights',
      { quantization_config: { quant_method: 'gptq' } },
      /quantized for another runtime \(quantization_config\)/,
    ],
    ['an activation it has not', { hidden_act: 'relu' }, /activation "relu"\. Foldgate computes silu/],
    ['dynamic rope', { rope_scaling: { type: 'dynamic', factor: 2 } }, /rope scaling "dynamic"/],
    ['rope parameters that are no numbers', { rope_theta: 'big' }, /rope_theta/],
    ['no layers', { num_hidden_layers: 0 }, /num_hidden_layers/],
    ['too many layers', { num_hidden_layers: limits.layers + 1 }, /num_hidden_layers/],
    ['a width beyond the limit', { hidden_size: limits.dimension + 1 }, /hidden_size/],
    ['a width that is a text', { hidden_size: '64' }, /hidden_size/],
    [
      'heads that do not divide the width',
      { head_dim: undefined, num_attention_heads: 3, hidden_size: 32 },
      /10\.66/,
    ],
    ['odd heads', { head_dim: 15 }, /must be even/],
    ['heads that do not share evenly', { num_key_value_heads: 3 }, /cannot share 3/],
  ])('for %s', (_, change, message) => {
    expect(() => read({ ...llama, ...change })).toThrow(InvalidDataError);
    expect(() => read({ ...llama, ...change })).toThrow(message);
  });

  it('for layer types that are unknown or too few', () => {
    expect(() => read({ ...gemma3, layer_types: ['full_attention'] })).toThrow(/1 entries for 4 layers/);
    const chunked = Array.from({ length: 4 }, () => 'chunked_attention');
    expect(() => read({ ...gemma3, layer_types: chunked })).toThrow(/layer 0 is "chunked_attention"/);
  });
});
