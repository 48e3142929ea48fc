import { z } from 'zod';
import { textOf } from '../conversation.ts';
import { orDefault, sharedFields, tokenLimit, topLogprobs } from './fields.ts';

/** Roles every chat template knows; `developer` is OpenAI's newer name for `system`. */
const roles = ['system', 'developer', 'user', 'assistant'] as const;

const textPart = z.object({ type: z.literal('text'), text: z.string() });

const content = z.union([z.string(), z.array(textPart).min(1)], {
  error:
    'should be a string or an array of {"type": "text"} parts; images, audio and files are not supported',
});

export const message = z
  .object({
    role: z.enum(roles, {
      error: `should be one of ${roles.join(', ')}; tools and functions are not supported`,
    }),
    content,
  })
  .transform(({ role, content }) => ({
    role: role === 'developer' ? 'system' : role,
    // Templates of text models take strings.
    content: textOf(content),
  }));

const atLeastOne = tokenLimit.min(1);

/** The body of POST /v1/chat/completions. Without a token limit the answer may fill the context. */
export const chatSchema = z
  .object({
    ...sharedFields,
    messages: z.array(message).min(1),
    max_tokens: orDefault(atLeastOne, undefined),
    max_completion_tokens: orDefault(atLeastOne, undefined),
    logprobs: orDefault(z.boolean(), false),
    top_logprobs: orDefault(topLogprobs, 0),
  })
  .refine((body) => body.logprobs || body.top_logprobs === 0, {
    path: ['top_logprobs'],
    error: 'is allowed only together with logprobs',
  })
  .refine((body) => body.min_tokens <= (body.max_completion_tokens ?? body.max_tokens ?? body.min_tokens), {
    path: ['min_tokens'],
    error: 'should not be more than the answer may have',
  })
  .refine((body) => body.stream || body.stream_options === undefined, {
    path: ['stream_options'],
    error: 'is allowed only together with stream',
  });

export type ChatBody = z.infer<typeof chatSchema>;
