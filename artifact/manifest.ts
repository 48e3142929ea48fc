import { z } from 'zod';
import { InvalidDataError } from './errors.ts';

/**
 * Manifests of another version are refused: a reader must never guess at a layout. A model of the second has layers
 * that run one half alone, for some of which there is no KV cache: what reads the first alone would count them wrongly.
 */
const schemaVersions = [1, 2] as const;
type SchemaVersion = (typeof schemaVersions)[number];

/** The halves of a layer: each adds to the hidden state what it makes of it. A layer may run one of them alone. */
export const halves = ['attention', 'mlp'] as const;
export type Half = (typeof halves)[number];

/** The least version that says all there is of a model: older readers read it where they can. */
export function schemaVersionOf(layers: readonly { half?: unknown }[]): SchemaVersion {
  return layers.some(({ half }) => half !== undefined) ? 2 : 1;
}

/** Safe in a key, a URL and a file name. */
export const modelNamePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
export const positive = z
  .int()
  .min(1)
  .max(2 ** 31 - 1);
const tokenId = z
  .int()
  .min(0)
  .max(2 ** 31 - 1);

export const blobSchema = z.object({
  /** Lower-case hex; also the blob's name in the store. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: count,
});

/** How the matrices of one kind are stored. `bits: 32` is float32, without blocks. */
const precisionSchema = z.object({
  bits: z.union([z.literal(4), z.literal(8), z.literal(32)]),
  /** Weights that share one scale, along the matrix's input dimension. */
  blockSize: z.union([z.literal(32), z.literal(64), z.literal(128)]).optional(),
});

/** The kinds of matrix whose precision can be chosen. */
export const matrixKinds = ['qkv', 'output', 'gate', 'up', 'down', 'embedding'] as const;

/** What sampling may be, in the words of the engine's `Sampling`. */
export const samplingFields = {
  temperature: z.number().min(0).max(2),
  topP: z.number().min(0).max(1),
  topK: z.int().min(0),
  minP: z.number().min(0).max(1),
  /** Dividing by less would leave the numbers that logits are; long before the highest texts are legible no more. */
  repetitionPenalty: z.number().min(0.01).max(100),
};

/** How tokens are drawn where a request does not say. */
export const samplingSchema = z.object(samplingFields).partial();

const manifestSchema = z.object({
  schemaVersion: z.literal(schemaVersions),
  name: z.string().regex(modelNamePattern),
  /** The model family: `llama`, `qwen2`, ... */
  architecture: z.string(),
  dimensions: z.object({
    vocabularySize: positive,
    width: positive,
    heads: positive,
    kvHeads: positive,
    headSize: positive,
    intermediateSize: positive,
    /** Tokens the model was made for; also the length of its rotary tables. */
    contextLength: positive,
  }),
  /**
   * One entry per layer, in depth order. `source` is the layer of the checkpoint, `block` counts from 0, `half` says
   * that it runs that one alone,
   * `refill` says that the layer was removed and its place filled again with another's block, `adapter` that it
   * has gains or low-rank matrices of its own, `patch` that a linear map follows in the place of removed layers.
   */
  layers: z
    .array(
      z.object({
        index: count,
        source: count,
        block: count,
        half: z.enum(halves).optional(),
        refill: z.literal(true).optional(),
        adapter: z.literal(true).optional(),
        patch: z.literal(true).optional(),
      }),
    )
    .min(1)
    .max(4096),
  tokens: z.object({
    bos: tokenId.optional(),
    /** Generation ends at any of these. */
    eos: z.array(tokenId),
    /** Jinja source, as in the checkpoint. */
    chatTemplate: z.string().optional(),
  }),
  /** How the checkpoint's makers sample it (generation_config.json): what requests that do not say take. */
  sampling: samplingSchema.optional(),
  /** The ONNX graph, a blob whose initializers name other blobs by their sha256, as files beside it. */
  graph: blobSchema,
  /**
   * For keys and values in int8: the scales that the calibration text found, and the graph that uses them, over the same
   * weights. Absent where the model was folded without.
   */
  int8Cache: z.object({ graph: blobSchema, scales: blobSchema }).optional(),
  /**
   * For reading prompts with weights of their own, in int8 with a scale for each output: one blob per distinct block, in
   * order, and the graph that reads by them into the cache, which gives no logits; another one for an int8 cache. Absent
   * where the model was folded without.
   */
  promptWeights: z
    .object({ graph: blobSchema, int8CacheGraph: blobSchema.optional(), blocks: z.array(blobSchema).min(1) })
    .optional(),
  /** `tokenizer.json` and `tokenizer_config.json`, each a blob. */
  tokenizer: z.object({ 'tokenizer.json': blobSchema, 'tokenizer_config.json': blobSchema.optional() }),
  /** The weights: one blob per distinct block, in order, and the others. */
  weights: z.array(
    blobSchema.extend({
      kind: z.enum(['block', 'embedding', 'norms', 'adapters', 'patches', 'rotary']),
      block: count.optional(),
      /** Of a block whose MLP is narrower than `dimensions` says. */
      intermediateSize: positive.optional(),
      /** Of a block: the matrices that are stored otherwise than `quantization` says of their kind. */
      quantization: z.partialRecord(z.enum(matrixKinds), precisionSchema).optional(),
    }),
  ),
  parameters: z.object({
    /** Of the checkpoint. */
    original: count,
    /** Of the folded model, every distinct block counted once. */
    folded: count,
  }),
  quantization: z.record(z.enum(matrixKinds), precisionSchema),
  folding: z.object({
    /** `influence`, `loss`, ...: how the plan was found. */
    method: z.string(),
    version: z.string(),
    checkpoint: z.string(),
    createdAt: z.iso.datetime(),
    /** Everything needed to run the fold again. */
    options: z.record(z.string(), z.unknown()),
  }),
  /** Perplexities measured when it was folded, each with the text it was measured on. */
  quality: z
    .array(z.object({ stage: z.string(), text: z.string(), tokens: count, perplexity: z.number() }))
    .optional(),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type Blob = z.infer<typeof blobSchema>;
export type Precision = z.infer<typeof precisionSchema>;
export type MatrixKind = (typeof matrixKinds)[number];

/**
 * Reads and checks a manifest.
 * @throws InvalidDataError naming every field that is wrong.
 */
export function parseManifest(bytes: Uint8Array, where: string): Manifest {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new InvalidDataError(`${where} is no JSON. Publish the model again.`, { cause });
  }
  const version = (json as { schemaVersion?: unknown } | null)?.schemaVersion;
  if (!schemaVersions.some((known) => known === version)) {
    throw new InvalidDataError(
      `${where} has schema version ${JSON.stringify(version)}; this Foldgate reads versions ${schemaVersions.join(' and ')}. ` +
        'Install the Foldgate that wrote it, or fold the model again.',
    );
  }
  const result = manifestSchema.safeParse(json);
  if (!result.success)
    throw new InvalidDataError(`${where} is no manifest:\n${z.prettifyError(result.error)}`);
  return result.data;
}

/** The sha256 of each graph that fills a cache: for each type of keys and values, and for each way to read prompts. */
export function graphsOf(manifest: Manifest): string[] {
  return graphBlobs(manifest).map(({ sha256 }) => sha256);
}

function graphBlobs({ graph, int8Cache, promptWeights }: Manifest): Blob[] {
  const all = [graph, int8Cache?.graph, promptWeights?.graph, promptWeights?.int8CacheGraph];
  return all.filter((blob) => blob !== undefined);
}

/** Every blob the model needs, each once. */
export function blobsOf(manifest: Manifest): Blob[] {
  const { int8Cache, promptWeights, tokenizer, weights } = manifest;
  const others = [int8Cache?.scales, ...(promptWeights?.blocks ?? []), ...Object.values(tokenizer)];
  const all = [...graphBlobs(manifest), ...others, ...weights];
  const blobs = all.filter((blob) => blob !== undefined);
  return [...new Map(blobs.map((blob) => [blob.sha256, blob])).values()];
}

/** Bytes of all of them together: what the model takes on a disk. */
export function bytesOf(manifest: Manifest): number {
  return blobsOf(manifest).reduce((sum, blob) => sum + blob.bytes, 0);
}

/** Whether a layer attends to earlier tokens. @param layer without a half it runs both */
export function runsAttention({ half }: { half?: Half | undefined }): boolean {
  return half !== 'mlp';
}

/** Number of layers that do: for each there are keys and values in the cache. */
export function cachedLayers(layers: readonly { half?: Half | undefined }[]): number {
  return layers.filter(runsAttention).length;
}

/** Number of blocks stored, however many layers run them. */
export function distinctBlocks(manifest: Manifest): number {
  return new Set(manifest.layers.map((layer) => layer.block)).size;
}
