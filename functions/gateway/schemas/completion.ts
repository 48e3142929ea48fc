import { z } from 'zod';
import { maxChoices, orDefault, sharedFields, tokenLimit, topLogprobs } from './fields.ts';
import { structuredFields } from './structured.ts';
import { tokenIds } from './token-ids.ts';

/** OpenAI's default for this endpoint. */
const defaultMaxTokens = 16;

const prompt = z.union(
  [z.string(), tokenIds.min(1), z.array(z.string()).min(1), z.array(tokenIds.min(1)).min(1)],
  {
    error:
      'should be a string, an array of strings, an array of token ids or an array of such arrays, none empty',
  },
);

/** The body of POST /v1/completions. */
export const completionSchema = z
  .object({
    ...sharedFields,
    ...structuredFields,
    prompt: prompt.transform(promptList),
    max_tokens: orDefault(tokenLimit, defaultMaxTokens),
    echo: orDefault(z.boolean(), false),
    logprobs: orDefault(topLogprobs, undefined),
    best_of: orDefault(z.int().min(1).max(maxChoices), undefined),
    suffix: orDefault(z.string(), ''),
  })
  .refine((body) => completionsOf(body) <= maxChoices, {
    path: ['n'],
    error: `n, or best_of, times the number of prompts should be at most ${maxChoices}`,
  })
  .refine((body) => completionsPerPrompt(body) >= body.n, {
    path: ['best_of'],
    error: 'should not be less than n, the completions that are sent',
  })
  .refine((body) => !body.stream || completionsPerPrompt(body) === body.n, {
    path: ['best_of'],
    error: 'cannot be more than n in a stream: which ones are best is not known before the end',
  })
  .refine((body) => body.min_tokens <= body.max_tokens, {
    path: ['min_tokens'],
    error: 'should not be more than max_tokens',
  })
  .refine((body) => !reportsPrompt(body) || body.suffix === '', {
    path: ['logprobs'],
    error: 'together with echo and suffix is not supported: what is read is not the text that is echoed',
    params: { code: 'unsupported_parameter' },
  })
  .refine((body) => body.stream || body.stream_options === undefined, {
    path: ['stream_options'],
    error: 'is allowed only together with stream',
  });

export type CompletionBody = z.infer<typeof completionSchema>;

interface Counts {
  n: number;
  best_of: number | undefined;
}

/** Whether the prompt's tokens have log probabilities too. */
export function reportsPrompt({ echo, logprobs }: { echo: boolean; logprobs: number | undefined }): boolean {
  return echo && logprobs !== undefined;
}

/** Completions to generate for each prompt, whether or not they are sent. */
export function completionsPerPrompt({ n, best_of }: Counts): number {
  return best_of ?? n;
}

/** Completions to generate. */
export function completionsOf(body: Counts & { prompt: readonly unknown[] }): number {
  return completionsPerPrompt(body) * body.prompt.length;
}

/** One entry per prompt, each a text or its token ids. */
function promptList(value: z.infer<typeof prompt>): (string | number[])[] {
  if (typeof value === 'string') return [value];
  return typeof value[0] === 'number' ? [value as number[]] : (value as string[] | number[][]);
}
