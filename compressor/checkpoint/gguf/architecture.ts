import { InvalidDataError } from '../../../artifact/errors.ts';
import type { Architecture, LayerAttention, Rotary } from '../architecture.ts';
import type { StoredTensor } from '../canonical.ts';
import { type familyOfGguf, tensorName } from '../family.ts';
import { limits } from '../limits.ts';
import { rotaryOf } from '../rotary.ts';
import type { Metadata } from './metadata.ts';

type Tensors = Map<string, StoredTensor>;
type GgufFamily = ReturnType<typeof familyOfGguf>;

/** The architecture that a GGUF header describes, by its keys and by the tensors that are there. */
export async function architectureOf(
  metadata: Metadata,
  tensors: Tensors,
  family: GgufFamily,
  where: string,
): Promise<Architecture> {
  refuseUnsupported(metadata, family.gguf.architecture, where);
  const key = (name: string) => `${family.gguf.architecture}.${name}`;
  const size = (name: string) => metadata.integer(key(name), 1, limits.dimension);
  const needSize = (name: string) => metadata.needInteger(key(name), 1, limits.dimension);

  const width = needSize('embedding_length');
  const layerCount = metadata.needInteger(key('block_count'), 1, limits.layers);
  const heads = needSize('attention.head_count');
  const kvHeads = size('attention.head_count_kv') ?? heads;
  const headSize = size('attention.key_length') ?? width / heads;
  checkHeads(
    {
      heads,
      kvHeads,
      headSize,
      rotated: size('rope.dimension_count'),
      value: size('attention.value_length'),
    },
    where,
  );
  const normEpsilon = metadata.number(key('attention.layer_norm_rms_epsilon'));
  if (normEpsilon === undefined || !(normEpsilon > 0 && normEpsilon < 1)) {
    throw new InvalidDataError(
      `${where}: ${key('attention.layer_norm_rms_epsilon')} is ${normEpsilon}. Expected one above 0 and below 1.`,
    );
  }
  const { features, gguf } = family;
  const names = gguf.tensors;
  const embedding = tensors.get(names.embedding);
  if (!embedding)
    throw new InvalidDataError(`${where} lacks the tensor ${names.embedding}. It is no whole model.`);
  const windows = windowsOf(metadata, family, layerCount, where);
  const global = await globalRotary(metadata, tensors, gguf.architecture, headSize, where);
  const local = windows.some((window) => window !== undefined)
    ? localRotary(metadata, family, headSize, where)
    : undefined;
  const wide = gguf.widthPerHeadScaleAtLayers?.includes(layerCount);
  return {
    family: family.name,
    vocabularySize: embedding.shape[0]!,
    width,
    heads,
    kvHeads,
    headSize,
    intermediateSize: needSize('feed_forward_length'),
    contextLength: needSize('context_length'),
    normEpsilon,
    activation: features.activation,
    embeddingScale: features.embeddingScale === 'sqrt-width' ? Math.sqrt(width) : 1,
    attentionScale: (wide ? width / heads : headSize) ** -0.5,
    tiedHead: !tensors.has(names.head),
    qkvBias:
      features.qkvBias === 'always' ||
      (features.qkvBias === 'optional' && tensors.has(tensorName(names, 'layers.0.attention.q.bias') ?? '')),
    qkNorm: features.qkNorm,
    postNorms: features.postNorms,
    layers: windows.map(
      (window): LayerAttention => ({ window, rotary: window !== undefined && local ? 1 : 0 }),
    ),
    rotaries: local ? [global, local] : [global],
  };
}

function refuseUnsupported(metadata: Metadata, architecture: string, where: string): void {
  const features: [key: string, feature: string][] = [
    [`${architecture}.expert_count`, 'a mixture of experts'],
    [`${architecture}.final_logit_softcapping`, 'logit softcapping'],
    [`${architecture}.attn_logit_softcapping`, 'attention logit softcapping'],
  ];
  for (const [key, feature] of features) {
    const value = metadata.raw(key);
    if (value !== undefined && value !== 0) {
      throw new InvalidDataError(
        `${where} asks for ${feature} (${key}: ${value}), which Foldgate cannot fold. Use a model without.`,
      );
    }
  }
  const parts = metadata.raw('split.count');
  if (parts !== undefined && parts !== 0 && parts !== 1) {
    throw new InvalidDataError(
      `${where} is one of ${parts} parts of a model. Merge them first: \`llama-gguf-split --merge FIRST OUT\`.`,
    );
  }
}

function checkHeads(
  sizes: {
    heads: number;
    kvHeads: number;
    headSize: number;
    rotated: number | undefined;
    value: number | undefined;
  },
  where: string,
): void {
  const { heads, kvHeads, headSize, rotated = headSize, value = headSize } = sizes;
  if (!Number.isInteger(headSize) || headSize % 2 !== 0) {
    throw new InvalidDataError(`${where}: heads have ${headSize} dimensions. Expected an even number.`);
  }
  if (heads % kvHeads !== 0)
    throw new InvalidDataError(`${where}: ${heads} heads cannot share ${kvHeads} key-value heads evenly.`);
  if (rotated !== headSize) {
    throw new InvalidDataError(
      `${where} rotates ${rotated} of ${headSize} dimensions of a head, which Foldgate cannot fold.`,
    );
  }
  if (value !== headSize) {
    throw new InvalidDataError(
      `${where}: keys of ${headSize} and values of ${value} dimensions cannot be folded: they must be equal.`,
    );
  }
}

function windowsOf(
  metadata: Metadata,
  family: GgufFamily,
  layers: number,
  where: string,
): (number | undefined)[] {
  const { architecture, windowPattern } = family.gguf;
  const all = Array.from({ length: layers }, () => undefined);
  if (family.features.window !== 'pattern') return all;
  const window = metadata.integer(`${architecture}.attention.sliding_window`, 0, limits.dimension);
  if (!window) return all;
  const given = metadata.raw(`${architecture}.attention.sliding_window_pattern`);
  if (given instanceof Float64Array) {
    if (given.length === layers) return all.map((_, layer) => (given[layer] ? window : undefined));
    throw new InvalidDataError(
      `${where}: the sliding window pattern has ${given.length} entries for ${layers} layers.`,
    );
  }
  const pattern = typeof given === 'number' && given > 0 ? given : (windowPattern ?? 1);
  return all.map((_, layer) => ((layer + 1) % pattern === 0 ? undefined : window));
}

async function globalRotary(
  metadata: Metadata,
  tensors: Tensors,
  architecture: string,
  headSize: number,
  where: string,
): Promise<Rotary> {
  const key = (name: string) => `${architecture}.rope.${name}`;
  const positive = (name: string) => {
    const value = metadata.number(key(name));
    if (value === undefined || (value > 0 && value < 1e12)) return value;
    throw new InvalidDataError(`${where}: ${key(name)} is ${value}. Expected a number above 0.`);
  };
  const type = metadata.string(key('scaling.type')) ?? 'none';
  const factor = positive('scaling.factor') ?? positive('scale_linear');
  // llama.cpp multiplies its factor with YaRN's own magnitude, transformers replaces it.
  const attention = positive('scaling.attn_factor');
  const rotary = rotaryOf(
    {
      rope_theta: positive('freq_base') ?? 10_000,
      rope_type:
        type === 'none'
          ? factor !== undefined && !metadata.raw(key('scaling.type'))
            ? 'linear'
            : 'default'
          : type,
      factor,
      original_max_position_embeddings:
        positive('scaling.original_context_length') ?? metadata.number(`${architecture}.context_length`),
      beta_fast: positive('scaling.yarn_beta_fast'),
      beta_slow: positive('scaling.yarn_beta_slow'),
      attention_factor: attention && (0.1 * Math.log(factor ?? 1) + 1) * attention,
      truncate: true,
    },
    headSize,
    where,
  );
  const factors = tensors.get('rope_freqs.weight');
  if (!factors) return rotary;
  if (factors.shape.join() !== String(headSize / 2)) {
    throw new InvalidDataError(
      `${where}: rope_freqs.weight has shape [${factors.shape.join(', ')}], expected [${headSize / 2}].`,
    );
  }
  // How llama.cpp writes Llama 3's scaling: divisors of the frequencies.
  const divisors = await factors.readRows(0, headSize / 2);
  if (!divisors.every((divisor) => divisor > 0))
    throw new InvalidDataError(`${where}: rope_freqs.weight must be above 0.`);
  return {
    ...rotary,
    inverseFrequencies: rotary.inverseFrequencies.map((frequency, i) => frequency / divisors[i]!),
  };
}

function localRotary(
  metadata: Metadata,
  family: GgufFamily,
  headSize: number,
  where: string,
): Rotary | undefined {
  const theta =
    metadata.number(`${family.gguf.architecture}.rope.freq_base_swa`) ?? family.gguf.localRopeTheta;
  if (theta === undefined) return undefined;
  if (!(theta > 0))
    throw new InvalidDataError(`${where}: rope.freq_base_swa is ${theta}. Expected a number above 0.`);
  return rotaryOf({ rope_theta: theta, rope_type: 'default', truncate: true }, headSize, where);
}
