import { z } from 'zod';
import type { ChatMessage } from '../../../artifact/chat-template.ts';
import { textOf } from '../conversation.ts';
import { orDefault, sharedFields, tokenLimit, topLogprobs } from './fields.ts';
import { structuredFields } from './structured.ts';
import { choiceProblem, toolCall, toolFields, valueOfArguments } from './tools.ts';

const roles = ['system', 'developer', 'user', 'assistant', 'tool'] as const;

const textPart = z.object({ type: z.literal('text'), text: z.string() });

const content = z
  .union([z.string(), z.array(textPart).min(1)], {
    error:
      'should be a string or an array of {"type": "text"} parts; images, audio and files are not supported',
  })
  // Templates of text models take strings.
  .transform(textOf);

/** An answer may be nothing but calls. */
const assistant = z
  .object({
    role: z.literal('assistant'),
    content: orDefault(content, undefined),
    tool_calls: orDefault(z.array(toolCall).min(1), undefined),
  })
  .refine((message) => message.content !== undefined || message.tool_calls, {
    path: ['content'],
    error: 'is required where there are no tool_calls',
  })
  .transform(
    ({ role, content = '', tool_calls: calls }): ChatMessage => ({
      role,
      content,
      ...(calls && { tool_calls: calls.map(withValues) }),
    }),
  );

function withValues({ id, type, function: { name, arguments: text } }: z.infer<typeof toolCall>) {
  return { id, type, function: { name, arguments: valueOfArguments(text) } };
}

export const message = z.discriminatedUnion(
  'role',
  [
    z.object({ role: z.enum(['system', 'user']), content }),
    /** OpenAI's newer name for `system`. */
    z
      .object({ role: z.literal('developer'), content })
      .transform(({ content }) => ({ role: 'system', content })),
    assistant,
    z.object({ role: z.literal('tool'), content, tool_call_id: z.string() }),
  ],
  { error: `role should be one of ${roles.join(', ')}` },
);

const atLeastOne = tokenLimit.min(1);

/** The body of POST /v1/chat/completions. Without a token limit the answer may fill the context. */
export const chatSchema = z
  .object({
    ...sharedFields,
    ...structuredFields,
    ...toolFields,
    messages: z.array(message).min(1),
    max_tokens: orDefault(atLeastOne, undefined),
    max_completion_tokens: orDefault(atLeastOne, undefined),
    logprobs: orDefault(z.boolean(), false),
    top_logprobs: orDefault(topLogprobs, 0),
    /** vLLM's and llama.cpp's. */
    add_generation_prompt: orDefault(z.boolean(), undefined),
    continue_final_message: orDefault(z.boolean(), false),
  })
  .refine((body) => !(body.continue_final_message && body.add_generation_prompt), {
    path: ['add_generation_prompt'],
    error: 'is not allowed together with continue_final_message: an answer that was begun has its beginning',
  })
  .refine((body) => !body.continue_final_message || body.messages.at(-1)!.role === 'assistant', {
    path: ['continue_final_message'],
    error: "is allowed only where the last message is the assistant's",
  })
  .refine((body) => body.logprobs || body.top_logprobs === 0, {
    path: ['top_logprobs'],
    error: 'is allowed only together with logprobs',
  })
  .refine((body) => body.min_tokens <= (body.max_completion_tokens ?? body.max_tokens ?? body.min_tokens), {
    path: ['min_tokens'],
    error: 'should not be more than the answer may have',
  })
  .refine((body) => choiceProblem(body) === undefined, {
    path: ['tool_choice'],
    error: ({ input }) => choiceProblem(input as Parameters<typeof choiceProblem>[0]),
  })
  .refine((body) => body.stream || body.stream_options === undefined, {
    path: ['stream_options'],
    error: 'is allowed only together with stream',
  });

export type ChatBody = z.infer<typeof chatSchema>;
