import { z } from 'zod';
import { samplingFields } from '../../../artifact/manifest.ts';
import type { Sampling } from '../../engine/engine.ts';
import { type LoadedModel, usualSampling } from '../../model/loaded-model.ts';
import { requireKnownTokens, tokenIds } from './token-ids.ts';

/** Completions of one request, over all its prompts: OpenAI's own limit on `n`. */
export const maxChoices = 128;
/** OpenAI's limit; every one is searched for in every token's text. */
const maxStops = 4;
/** Characters of one stop string: that much text may be held back from a stream. */
const maxStopLength = 256;

/** Characters. A digest has 64. */
const maxSaltLength = 256;

/** OpenAI takes `null` for "not given" everywhere. */
export function orDefault<T extends z.ZodType, D>(schema: T, fallback: D) {
  const filled = schema.nullish().transform((value) => value ?? fallback);
  // For the documentation; zod leaves a `default` out where a value is transformed.
  return fallback === undefined ? filled : filled.meta({ fallback });
}

/** Tokens to generate at most. */
export const tokenLimit = z
  .int()
  .min(0)
  .max(2 ** 31 - 1);

export const stopString = z
  .string()
  .min(1, 'a stop string cannot be empty')
  .max(maxStopLength, `a stop string has at most ${maxStopLength} characters`)
  .refine((text) => text.isWellFormed(), 'a stop string cannot hold half a surrogate pair');

const stop = z.union([stopString.transform((text) => [text]), z.array(stopString).max(maxStops)], {
  error: `should be a string or an array of up to ${maxStops} strings, each of 1 to ${maxStopLength} characters`,
});

/** What vLLM reports at most. */
const maxTopLogprobs = 20;

const penalty = orDefault(z.number().min(-2).max(2), 0);

const logitBias = z.record(
  z.string().regex(/^(0|[1-9]\d*)$/, 'keys should be token ids'),
  z.number().min(-100).max(100),
);

/** How many of the likeliest tokens to report. */
export const topLogprobs = z.int().min(0).max(maxTopLogprobs);

/** What completions and chat have in common. */
export const sharedFields = {
  model: z.string({ error: 'name the model; GET /v1/models lists it' }),
  // What these five default to is the model's own, see `samplingOf`.
  temperature: orDefault(samplingFields.temperature, undefined),
  top_p: orDefault(samplingFields.topP, undefined),
  /** -1 is vLLM's way to say 0. */
  top_k: orDefault(z.int().min(-1), undefined),
  min_p: orDefault(samplingFields.minP, undefined),
  repetition_penalty: orDefault(samplingFields.repetitionPenalty, undefined),
  typical_p: orDefault(z.number().min(0).max(1), 1),
  frequency_penalty: penalty,
  presence_penalty: penalty,
  logit_bias: orDefault(logitBias, {}),
  seed: orDefault(z.int(), undefined),
  stop: orDefault(stop, []),
  stop_token_ids: orDefault(tokenIds, []),
  include_stop_str_in_output: orDefault(z.boolean(), false),
  min_tokens: orDefault(tokenLimit, 0),
  /** vLLM's: prompts are reused only between requests with the same one. */
  cache_salt: orDefault(z.string().min(1).max(maxSaltLength), undefined),
  /** vLLM's and llama.cpp's, for measuring: the text goes on to its limit. */
  ignore_eos: orDefault(z.boolean(), false),
  skip_special_tokens: orDefault(z.boolean(), true),
  n: orDefault(z.int().min(1).max(maxChoices), 1),
  stream: orDefault(z.boolean(), false),
  stream_options: orDefault(
    z.object({
      include_usage: orDefault(z.boolean(), false),
      /** vLLM's. */
      continuous_usage_stats: orDefault(z.boolean(), false),
    }),
    undefined,
  ),
};

type SharedFields = Omit<z.infer<z.ZodObject<typeof sharedFields>>, 'n' | 'stream_options'>;
type SamplingFields = Omit<SharedFields, 'stop'>;

/**
 * What is off is left out. What the request does not say is as the model's makers say, as vLLM does it.
 * @param choice counts the completions of one prompt, which all draw differently, by one seed or by none.
 */
export function samplingOf(model: LoadedModel, fields: SamplingFields, choice: number): Sampling {
  const { typical_p, frequency_penalty, presence_penalty, logit_bias, seed } = fields;
  const usual = usualSampling(model);
  const repetitionPenalty = fields.repetition_penalty ?? usual.repetitionPenalty;
  return {
    temperature: fields.temperature ?? usual.temperature,
    topP: fields.top_p ?? usual.topP,
    topK: Math.max(fields.top_k ?? usual.topK, 0),
    minP: fields.min_p ?? usual.minP,
    ...(typical_p < 1 && { typicalP: typical_p }),
    ...(repetitionPenalty !== 1 && { repetitionPenalty }),
    ...(frequency_penalty !== 0 && { frequencyPenalty: frequency_penalty }),
    ...(presence_penalty !== 0 && { presencePenalty: presence_penalty }),
    ...(Object.keys(logit_bias).length > 0 && { logitBias: logit_bias }),
    ...(seed !== undefined && { seed: seed + choice }),
  };
}

/** How a completion's text comes and ends. */
export function textOptionsOf(fields: SharedFields) {
  return {
    stop: fields.stop,
    stopTokens: fields.stop_token_ids,
    includeStop: fields.include_stop_str_in_output,
    minTokens: fields.min_tokens,
    ignoreEos: fields.ignore_eos,
    showSpecial: !fields.skip_special_tokens,
    stream: fields.stream,
    cacheSalt: fields.cache_salt,
  };
}

/** @throws ApiError 400 for tokens that the model does not have. */
export function requireKnownFields(model: LoadedModel, fields: SamplingFields): void {
  requireKnownTokens(model, fields.stop_token_ids, 'stop_token_ids');
  requireKnownTokens(model, Object.keys(fields.logit_bias).map(Number), 'logit_bias');
}
