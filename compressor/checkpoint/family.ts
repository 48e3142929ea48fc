import { z } from 'zod';
import { InvalidDataError } from '../../artifact/errors.ts';
import { layerRoles, type TensorRole } from './checkpoint.ts';
import gemma3 from './families/gemma3.json' with { type: 'json' };
import llama from './families/llama.json' with { type: 'json' };
import mistral from './families/mistral.json' with { type: 'json' };
import qwen2 from './families/qwen2.json' with { type: 'json' };
import qwen3 from './families/qwen3.json' with { type: 'json' };

/** Names of tensors: `{layer}` stands for the layer's index, `{root}` for one of the family's roots. */
const tensorNames = z.strictObject({
  embedding: z.string(),
  head: z.string(),
  norm: z.string(),
  layer: z.partialRecord(z.enum(layerRoles), z.string().regex(/\{layer\}/)),
});

const familySchema = z.strictObject({
  name: z.string(),
  features: z.strictObject({
    /** `optional`: a checkpoint says by its config, or by having the tensors. */
    qkvBias: z.enum(['never', 'optional', 'always']),
    qkNorm: z.boolean(),
    postNorms: z.boolean(),
    activation: z.enum(['silu', 'gelu_tanh']),
    embeddingScale: z.enum(['one', 'sqrt-width']),
    /** Which layers see a sliding window: by default none, all, those from `max_window_layers` on, all but each nth. */
    window: z.enum(['none', 'every-layer', 'last-layers', 'pattern']),
  }),
  huggingFace: z.strictObject({
    architectures: z.array(z.string()).min(1),
    modelTypes: z.array(z.string()).min(1),
    /** Where the language model's tensors hang, by age and kind of the checkpoint. */
    roots: z.array(z.string()).min(1),
    /** Added to stored norm weights: Gemma stores w - 1. */
    normOffset: z.number(),
    /** What a config that leaves the field out means, as in transformers. */
    defaults: z.record(z.string(), z.union([z.number(), z.boolean()])),
    tensors: tensorNames,
  }),
  gguf: z
    .strictObject({
      architecture: z.string(),
      /** Rows of q and k are ordered in pairs (2i, 2i + 1), not halves. */
      interleavedRotary: z.boolean(),
      /** Each nth layer sees everything: llama.cpp has it in its code, not in the file. */
      windowPattern: z.int().optional(),
      /** Rotary base of the layers with a window, where the file does not say. */
      localRopeTheta: z.number().optional(),
      /** Depths of the models whose attention scale is sqrt(heads / width). */
      widthPerHeadScaleAtLayers: z.array(z.int()).optional(),
      tensors: tensorNames,
    })
    .optional(),
});

export type Family = z.infer<typeof familySchema>;
export type TensorNames = z.infer<typeof tensorNames>;

const families: Family[] = [llama, mistral, qwen2, qwen3, gemma3].map((json) => familySchema.parse(json));

/**
 * @param config the outer config.json: multimodal ones name their architecture there
 * @throws InvalidDataError naming the families there are
 */
export function familyOfConfig(
  config: { architectures?: string[]; model_type?: string },
  where: string,
): Family {
  const named = config.architectures ?? [];
  const found = families.find(({ huggingFace }) =>
    named.length > 0
      ? named.some((name) => huggingFace.architectures.includes(name))
      : huggingFace.modelTypes.includes(config.model_type ?? ''),
  );
  if (found) return found;
  const known = families.flatMap(({ huggingFace }) => huggingFace.architectures);
  throw new InvalidDataError(
    `${where} names the architecture ${named.join(', ') || config.model_type || '(none)'}. Foldgate folds ${known.join(', ')}.`,
  );
}

/** @throws InvalidDataError naming the architectures there are */
export function familyOfGguf(
  architecture: string,
  where: string,
): Family & { gguf: NonNullable<Family['gguf']> } {
  for (const family of families) {
    if (family.gguf?.architecture === architecture) return { ...family, gguf: family.gguf };
  }
  const known = families.flatMap(({ gguf }) => gguf?.architecture ?? []);
  throw new InvalidDataError(
    `${where} has the architecture ${JSON.stringify(architecture)}. Foldgate reads GGUF files of ${known.join(', ')}.`,
  );
}

/** The tensor's name in the file, undefined where the family has no such tensor. */
export function tensorName(names: TensorNames, role: TensorRole, root = ''): string | undefined {
  const [, layer, layerRole] = /^layers\.(\d+)\.(.+)$/.exec(role) ?? [];
  const template =
    layer === undefined
      ? names[role as 'embedding' | 'head' | 'norm']
      : names.layer[layerRole as (typeof layerRoles)[number]];
  return template?.replace('{root}', root).replace('{layer}', layer ?? '');
}
