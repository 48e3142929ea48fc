import { resolve } from 'node:path';
import { z } from 'zod';
import { cacheTypes, graphOf } from '../../artifact/decoder/decoder-options.ts';
import { promptWeightTypes, withPromptWeights } from '../../artifact/decoder/prompt-weights.ts';
import { readManifest } from '../../artifact/models/read.ts';
import { openModelUrl } from '../../artifact/store/open.ts';
import { parseModelUrl, parseStoreUrl } from '../../artifact/store/url.ts';
import { functionSizes, largestMemory, nominalSizes, type Sizes, storageLimits } from './sizing.ts';

/** Context comes from the command line as text, from cdk.json as what it is. */
const whole = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const flag = z.union([z.boolean(), z.stringbool()]);

/** What `--context KEY=VALUE` may say. */
const contextSchema = z.object({
  /** A folded model: a folder of this machine, or `s3://BUCKET/PREFIX/NAME`. */
  model: z.string().min(1).optional(),
  /** Megabytes. @default what the model needs, at least one core's worth */
  memory: whole(512, largestMemory).optional(),
  /** Megabytes of the function's own disk. @default room for two versions of the model */
  storage: whole(storageLimits.free, storageLimits.largest).optional(),
  architecture: z.enum(['x86_64', 'arm64']).default('x86_64'),
  /** Conversations at once in one environment. */
  slots: whole(1, 64).default(4),
  /** Tokens of prompt and completion together. @default the model's own */
  contextTokens: whole(16, 1_048_576).optional(),
  /** What keys and values are kept in, as `foldgate serve --kv-cache`. */
  kvCache: z.enum(cacheTypes).default('float32'),
  /** What prompts are read with, as `foldgate serve --prompt-weights`. */
  promptWeights: z.enum(promptWeightTypes).default('same'),
  /** Environments that are kept warm. */
  provisioned: whole(0, 1_000).default(0),
  /** Environments at once, of which each costs; further requests get 429. */
  maxConcurrency: whole(1, 10_000).optional(),
  /** `url`: a function URL; `rest`: API Gateway with response streaming, for its domains, WAF and usage plans. */
  frontDoor: z.enum(['url', 'rest']).default('url'),
  /** `keys`: the gateway's own API keys; `iam`: requests signed with AWS credentials. */
  access: z.enum(['keys', 'iam']).default('keys'),
  /** Gets the alarms. */
  alarmEmail: z.email().optional(),
  /** The container image that folds; with it comes the stack for folding on AWS Batch. */
  foldingImage: z.string().min(1).optional(),
  /** Whether the checks of cdk-nag run. */
  checks: flag.default(true),
});

export type Context = z.infer<typeof contextSchema>;

/** Where the served model lies. */
export interface ServedModel {
  name: string;
  /** Its bucket where that is not the one this app makes. */
  bucket: string | undefined;
  /** Of its store in the bucket: empty, or without a slash at the end. */
  prefix: string;
}

export interface Settings extends Context {
  served: ServedModel;
  sizes: Sizes;
}

const keys = Object.keys(contextSchema.shape) as (keyof Context)[];

/** Prefix of the store in the bucket that this app makes. */
export const ownPrefix = 'models';

/**
 * Reads what was asked for and how large the model is. Only a model in S3 needs the network.
 * @throws Error naming each wrong setting
 */
export async function readSettings(get: (key: string) => unknown): Promise<Settings> {
  const given = Object.fromEntries(keys.map((key) => [key, get(key)]).filter(([, value]) => value != null));
  const result = contextSchema.safeParse(given);
  if (!result.success) throw new Error(`Wrong --context:\n${z.prettifyError(result.error)}`);
  const context = result.data;
  const served = servedModel(context.model);
  const sizes = await sizesOf(context);
  return {
    ...context,
    served,
    sizes: { memory: context.memory ?? sizes.memory, storage: context.storage ?? sizes.storage },
  };
}

/** Paths are meant from where npm was called, which is not where CDK runs. */
function fromCaller(model: string): string {
  const { storeUrl, name } = parseModelUrl(model);
  const store = parseStoreUrl(storeUrl);
  if (store.kind !== 'file') return model;
  return `file:${resolve(process.env.INIT_CWD ?? '', store.folder, name)}`;
}

/** @throws UsageError for what is no model's URL */
export function servedModel(url: string | undefined): ServedModel {
  if (url === undefined) return { name: 'tales-5m', bucket: undefined, prefix: ownPrefix };
  const { storeUrl, name } = parseModelUrl(url);
  const store = parseStoreUrl(storeUrl);
  if (store.kind === 'file') return { name, bucket: undefined, prefix: ownPrefix };
  return { name, bucket: store.bucket, prefix: store.prefix };
}

async function sizesOf({ model, kvCache, promptWeights }: Context): Promise<Sizes> {
  if (model === undefined) return nominalSizes;
  const { store, name } = await openModelUrl(fromCaller(model));
  const published = await readManifest(store, name);
  const manifest = withPromptWeights(published.manifest, promptWeights);
  graphOf(manifest, kvCache); // tells now of what is missing, not after the deployment
  return functionSizes(manifest, kvCache);
}
