import { type CacheType, cacheTypes } from '../../artifact/decoder/decoder-options.ts';
import { type PromptWeights, promptWeightChoices } from '../../artifact/decoder/prompt-weights.ts';
import { UsageError } from '../../artifact/errors.ts';

/** Megabytes of a function's memory for each core it gets; AWS's own figure. */
const megabytesPerCore = 1_769;
/** Cores of the largest function. */
const maxCores = 6;

/** Megabytes of a function's memory that are not for models: Node, the runtime, a request's text. */
const ownMegabytes = 128;

/** Milliseconds. */
const refreshMs = 30_000;

/** What the deployment tells the function, by environment variables. */
export interface Settings {
  /** `s3://BUCKET/PREFIX` */
  store: string;
  model: string;
  /** `keys`: API keys in the store; `iam`: the platform lets in whom it should. */
  access: 'keys' | 'iam';
  threads: number;
  /** Threads that wait may spin: only where the function has whole cores for all of them. */
  spinning: boolean;
  /** Sequences that run at once. */
  slots: number;
  /** Tokens of prompt and completion together. @default the model's own */
  contextLength: number | undefined;
  kvCache: CacheType;
  promptWeights: PromptWeights;
  cacheFolder: string;
  /** Bytes that versions of the model may take together. */
  modelBytes: number;
  /** Milliseconds between looks for a new version, at least. */
  refreshMs: number;
  /** Loads the model before the first request comes: the platform waits for it. */
  loadAtInit: boolean;
}

/** @throws UsageError naming the variable that is wrong or missing */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  const memory = count(env, 'AWS_LAMBDA_FUNCTION_MEMORY_SIZE') ?? megabytesPerCore;
  const threads = count(env, 'FOLDGATE_THREADS') ?? threadsOf(memory);
  return {
    store: required(env, 'FOLDGATE_STORE'),
    model: required(env, 'FOLDGATE_MODEL'),
    // What is not known must not open the door.
    access: oneOf(env, 'FOLDGATE_ACCESS', ['keys', 'iam']) ?? 'keys',
    threads,
    spinning: threads > 1 && memory >= threads * megabytesPerCore,
    slots: count(env, 'FOLDGATE_SLOTS') ?? 4,
    contextLength: count(env, 'FOLDGATE_CONTEXT'),
    kvCache: oneOf(env, 'FOLDGATE_KV_CACHE', cacheTypes) ?? 'float32',
    // A function fetches all it holds before its first answer.
    promptWeights: oneOf(env, 'FOLDGATE_PROMPT_WEIGHTS', promptWeightChoices) ?? 'same',
    // The one place where a function may write.
    cacheFolder: env.FOLDGATE_CACHE || '/tmp/foldgate',
    modelBytes: Math.max(1, memory - ownMegabytes) * 1024 * 1024,
    refreshMs: count(env, 'FOLDGATE_REFRESH_MS') ?? refreshMs,
    // An on-demand start has 10 s for it, and its request is waiting already.
    loadAtInit: (env.AWS_LAMBDA_INITIALIZATION_TYPE ?? 'on-demand') !== 'on-demand',
  };
}

/** A thread that has to wait for its share of a core holds up all others, so a part of one does not count. */
export function threadsOf(memoryMegabytes: number): number {
  return Math.max(1, Math.min(maxCores, Math.floor(memoryMegabytes / megabytesPerCore)));
}

function oneOf<T extends string>(env: NodeJS.ProcessEnv, name: string, values: readonly T[]): T | undefined {
  const value = env[name];
  if (value === undefined || value === '') return undefined;
  const known = values.find((other) => other === value);
  if (known !== undefined) return known;
  throw new UsageError(
    `The environment variable ${name} is ${JSON.stringify(value)}; ${values.join(' or ')} is expected.`,
  );
}

function required(env: NodeJS.ProcessEnv, name: string): string {
  const value = env[name];
  if (value) return value;
  throw new UsageError(`The environment variable ${name} is not set: deploy the function again.`);
}

function count(env: NodeJS.ProcessEnv, name: string): number | undefined {
  const text = env[name];
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new UsageError(`The environment variable ${name} is ${JSON.stringify(text)}; a count is expected.`);
}
