import { z } from 'zod';
import { InvalidDataError } from '../../../artifact/errors.ts';
import type { Architecture, LayerAttention, Rotary } from '../architecture.ts';
import type { Family } from '../family.ts';
import { isObject } from '../json.ts';
import { limits } from '../limits.ts';
import { ropeScalingSchema, rotaryOf } from '../rotary.ts';
import { refuseUnsupported } from './unsupported.ts';

const size = z.int().min(1).max(limits.dimension);
const configSchema = z.object({
  vocab_size: size,
  hidden_size: size,
  intermediate_size: size,
  num_hidden_layers: z.int().min(1).max(limits.layers),
  num_attention_heads: size,
  num_key_value_heads: size.nullish(),
  head_dim: size.nullish(),
  max_position_embeddings: size,
  rms_norm_eps: z.number().positive().max(1),
  hidden_act: z.string().nullish(),
  hidden_activation: z.string().nullish(),
  tie_word_embeddings: z.boolean(),
  attention_bias: z.boolean().nullish(),
  query_pre_attn_scalar: z.number().positive().nullish(),
  sliding_window: size.nullish(),
  use_sliding_window: z.boolean().nullish(),
  max_window_layers: z.int().min(0).nullish(),
  sliding_window_pattern: size.nullish(),
  layer_types: z.array(z.string()).max(limits.layers).nullish(),
  rope_theta: z.number().nullish(),
  rope_local_base_freq: z.number().nullish(),
  rope_scaling: z.record(z.string(), z.unknown()).nullish(),
  rope_parameters: z.record(z.string(), z.unknown()).nullish(),
});
type Config = z.infer<typeof configSchema>;

const activations: Record<string, Architecture['activation']> = {
  silu: 'silu',
  swish: 'silu',
  gelu_pytorch_tanh: 'gelu_tanh',
  gelu_new: 'gelu_tanh', // the same tanh form
};

/**
 * The architecture that a config.json describes.
 * @param outer the file's object: multimodal models nest the language model in `text_config`
 * @throws InvalidDataError for what Foldgate cannot compute, by name
 */
export function architectureOf(outer: Record<string, unknown>, family: Family, where: string): Architecture {
  const inner = isObject(outer.text_config) ? outer.text_config : outer;
  refuseUnsupported(inner, where);
  const parsed = configSchema.safeParse(withDefaults(inner, outer, family));
  if (!parsed.success)
    throw new InvalidDataError(`${where} is no config of ${family.name}:\n${z.prettifyError(parsed.error)}`);
  const config = parsed.data;
  const { width, heads, kvHeads, headSize } = attentionSizes(config, where);
  const { rotaries, localRotary } = rotariesOf(config, headSize, where);
  const windows = windowsOf(config, family, where);
  return {
    family: family.name,
    vocabularySize: config.vocab_size,
    width,
    heads,
    kvHeads,
    headSize,
    intermediateSize: config.intermediate_size,
    contextLength: config.max_position_embeddings,
    normEpsilon: config.rms_norm_eps,
    activation: activationOf(config, family, where),
    embeddingScale: family.features.embeddingScale === 'sqrt-width' ? Math.sqrt(width) : 1,
    attentionScale: (config.query_pre_attn_scalar ?? headSize) ** -0.5,
    tiedHead: config.tie_word_embeddings,
    qkvBias:
      family.features.qkvBias === 'always' ||
      (family.features.qkvBias === 'optional' && config.attention_bias === true),
    qkNorm: family.features.qkNorm,
    postNorms: family.features.postNorms,
    layers: windows.map(
      (window): LayerAttention => ({ window, rotary: window === undefined ? 0 : localRotary }),
    ),
    rotaries,
  };
}

/** A field that is missing means the family's default; `tie_word_embeddings` may stand outside of text_config. */
function withDefaults(
  inner: Record<string, unknown>,
  outer: Record<string, unknown>,
  family: Family,
): object {
  const tied = inner.tie_word_embeddings ?? outer.tie_word_embeddings;
  return {
    ...family.huggingFace.defaults,
    ...inner,
    ...(tied !== undefined && { tie_word_embeddings: tied }),
  };
}

function attentionSizes(config: Config, where: string) {
  const { hidden_size: width, num_attention_heads: heads } = config;
  const kvHeads = config.num_key_value_heads ?? heads;
  const headSize = config.head_dim ?? width / heads;
  if (!Number.isInteger(headSize) || headSize % 2 !== 0) {
    throw new InvalidDataError(
      `${where}: ${heads} heads of width ${width} have ${headSize} dimensions each, which must be even.`,
    );
  }
  if (heads % kvHeads !== 0) {
    throw new InvalidDataError(`${where}: ${heads} heads cannot share ${kvHeads} key-value heads evenly.`);
  }
  return { width, heads, kvHeads, headSize };
}

function activationOf(config: Config, family: Family, where: string): Architecture['activation'] {
  const name = config.hidden_activation ?? config.hidden_act;
  if (name === null || name === undefined) return family.features.activation;
  const activation = Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (activation) return activation;
  throw new InvalidDataError(
    `${where} has the activation ${JSON.stringify(name)}. Foldgate computes ${Object.keys(activations).join(', ')}.`,
  );
}

/** The window of each layer, undefined where it sees everything. */
function windowsOf(config: Config, family: Family, where: string): (number | undefined)[] {
  const windowed = config.use_sliding_window !== false && typeof config.sliding_window === 'number';
  const types = family.features.window === 'none' ? undefined : config.layer_types;
  if (types && types.length !== config.num_hidden_layers) {
    throw new InvalidDataError(
      `${where}: layer_types has ${types.length} entries for ${config.num_hidden_layers} layers.`,
    );
  }
  return Array.from({ length: config.num_hidden_layers }, (_, layer) => {
    const type = types?.[layer];
    if (type !== undefined && type !== 'sliding_attention' && type !== 'full_attention') {
      throw new InvalidDataError(
        `${where}: layer ${layer} is ${JSON.stringify(type)}. Foldgate knows full_attention and sliding_attention.`,
      );
    }
    const slides = type === undefined ? slidesByRule(config, family, layer) : type === 'sliding_attention';
    return windowed && slides ? config.sliding_window! : undefined;
  });
}

function slidesByRule(config: Config, family: Family, layer: number): boolean {
  switch (family.features.window) {
    case 'none':
      return false;
    case 'every-layer':
      return true;
    case 'last-layers':
      return layer >= (config.max_window_layers ?? 0);
    case 'pattern':
      return (layer + 1) % (config.sliding_window_pattern ?? 1) !== 0;
  }
}

/**
 * One rotary for all layers, or a global and a local one (Gemma 3). Newer configs hold them in
 * `rope_parameters`, either one or by layer type; older ones in `rope_theta` and `rope_scaling`.
 */
function rotariesOf(
  config: Config,
  headSize: number,
  where: string,
): { rotaries: Rotary[]; localRotary: number } {
  const parse = (fields: Record<string, unknown>, theta: number | null | undefined) => {
    const named = { rope_theta: theta, ...fields, rope_type: fields.rope_type ?? fields.type ?? 'default' };
    // A config may leave out the original length, where it is the model's own.
    const original = fields.original_max_position_embeddings ?? config.max_position_embeddings;
    const parsed = ropeScalingSchema.safeParse({ ...named, original_max_position_embeddings: original });
    if (!parsed.success)
      throw new InvalidDataError(`${where}: wrong rope parameters:\n${z.prettifyError(parsed.error)}`);
    return rotaryOf(parsed.data, headSize, where);
  };
  const given = config.rope_parameters ?? {};
  const { full_attention: full, sliding_attention: sliding } = given;
  const all = isObject(full) ? full : isObject(sliding) ? {} : given;
  const global = parse({ ...all, ...config.rope_scaling }, config.rope_theta);
  if (typeof config.rope_local_base_freq !== 'number') return { rotaries: [global], localRotary: 0 };
  return {
    rotaries: [global, parse(isObject(sliding) ? sliding : {}, config.rope_local_base_freq)],
    localRotary: 1,
  };
}
