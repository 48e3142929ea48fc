import { z } from 'zod';
import { maxChoices, orDefault, sharedFields, tokenLimit } from './fields.ts';
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
    prompt: prompt.transform(promptList),
    max_tokens: orDefault(tokenLimit, defaultMaxTokens),
    echo: orDefault(z.boolean(), false),
  })
  .refine((body) => body.n * body.prompt.length <= maxChoices, {
    path: ['n'],
    error: `n times the number of prompts should be at most ${maxChoices}`,
  })
  .refine((body) => body.stream || body.stream_options === undefined, {
    path: ['stream_options'],
    error: 'is allowed only together with stream',
  });

export type CompletionBody = z.infer<typeof completionSchema>;

/** One entry per prompt, each a text or its token ids. */
function promptList(value: z.infer<typeof prompt>): (string | number[])[] {
  if (typeof value === 'string') return [value];
  return typeof value[0] === 'number' ? [value as number[]] : (value as string[] | number[][]);
}
