import { z } from 'zod';
import type { Sampling } from '../../engine/engine.ts';

/** Completions of one request, over all its prompts: OpenAI's own limit on `n`. */
export const maxChoices = 128;
/** OpenAI's limit; every one is searched for in every token's text. */
const maxStops = 4;
/** Characters of one stop string: that much text may be held back from a stream. */
const maxStopLength = 256;

/** OpenAI takes `null` for "not given" everywhere. */
export function orDefault<T extends z.ZodType, D>(schema: T, fallback: D) {
  return schema.nullish().transform((value) => value ?? fallback);
}

const stopString = z
  .string()
  .min(1, 'a stop string cannot be empty')
  .max(maxStopLength, `a stop string has at most ${maxStopLength} characters`)
  .refine((text) => text.isWellFormed(), 'a stop string cannot hold half a surrogate pair');

const stop = z.union([stopString.transform((text) => [text]), z.array(stopString).max(maxStops)], {
  error: `should be a string or an array of up to ${maxStops} strings, each of 1 to ${maxStopLength} characters`,
});

/** What completions and chat have in common. */
export const sharedFields = {
  model: z.string({ error: 'name the model; GET /v1/models lists it' }),
  temperature: orDefault(z.number().min(0).max(2), 1),
  top_p: orDefault(z.number().min(0).max(1), 1),
  /** -1 is vLLM's way to say 0. */
  top_k: orDefault(z.int().min(-1), 0),
  min_p: orDefault(z.number().min(0).max(1), 0),
  seed: orDefault(z.int(), undefined),
  stop: orDefault(stop, []),
  /** vLLM's and llama.cpp's, for measuring: the text goes on to its limit. */
  ignore_eos: orDefault(z.boolean(), false),
  n: orDefault(z.int().min(1).max(maxChoices), 1),
  stream: orDefault(z.boolean(), false),
  stream_options: orDefault(z.object({ include_usage: orDefault(z.boolean(), false) }), undefined),
};

type SamplingFields = z.infer<z.ZodObject<typeof sharedFields>>;

/** @param choice counts the completions of one prompt, which all draw differently, by one seed or by none. */
export function samplingOf(fields: SamplingFields, choice: number): Sampling {
  return {
    temperature: fields.temperature,
    topP: fields.top_p,
    topK: Math.max(fields.top_k, 0),
    minP: fields.min_p,
    ...(fields.seed !== undefined && { seed: fields.seed + choice }),
  };
}

/** Tokens to generate at most. */
export const tokenLimit = z
  .int()
  .min(0)
  .max(2 ** 31 - 1);
