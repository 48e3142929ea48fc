import { z } from 'zod';
import { orDefault, sharedFields, stopString, tokenLimit } from '../schemas/fields.ts';
import { harmless, type Refusals } from '../schemas/refused.ts';
import { choiceProblem, toolFields } from './tools.ts';

/** Every one is searched for in every token's text. */
const maxStopSequences = 32;

const textBlock = z.object({ type: z.literal('text'), text: z.string() });

const texts = z.union([z.string(), z.array(textBlock)], {
  error: 'should be a string or an array of {"type": "text"} blocks',
});

/** The model called a tool. */
const toolUse = z.object({
  type: z.literal('tool_use'),
  id: z.string(),
  name: z.string(),
  input: z.record(z.string(), z.unknown()),
});

/** What the tool said. */
const toolResult = z.object({
  type: z.literal('tool_result'),
  tool_use_id: z.string(),
  content: orDefault(texts, ''),
});

const content = z.union(
  [z.string(), z.array(z.discriminatedUnion('type', [textBlock, toolUse, toolResult]))],
  {
    error:
      'should be a string or an array of blocks text, tool_use and tool_result; images and documents are not supported',
  },
);

const message = z.object({
  role: z.enum(['user', 'assistant', 'system'], { error: 'should be user, assistant or system' }),
  content,
});

const conversation = {
  messages: z.array(message).min(1),
  system: orDefault(texts, undefined),
  ...toolFields,
};

const { stop: _stop, stream_options: _options, n: _n, ...shared } = sharedFields;

const outputConfig = z.object({
  format: orDefault(
    z.object({ type: z.literal('json_schema'), schema: z.record(z.string(), z.unknown()) }),
    undefined,
  ),
});

/** The body of POST /v1/messages. */
export const messagesSchema = z
  .object({
    ...shared,
    ...conversation,
    max_tokens: tokenLimit.min(1),
    stop_sequences: orDefault(z.array(stopString).max(maxStopSequences), []),
    output_config: orDefault(outputConfig, undefined),
  })
  .refine((body) => choiceProblem(body) === undefined, {
    path: ['tool_choice'],
    error: ({ input }) => choiceProblem(input as Parameters<typeof choiceProblem>[0]),
  });

export type MessagesBody = z.infer<typeof messagesSchema>;

/** The body of POST /v1/messages/count_tokens. */
export const countTokensSchema = z.object({ model: shared.model, ...conversation });

export type ConversationBody = z.infer<typeof countTokensSchema>;

/** What Anthropic has and changes the answer. */
export const refusedInMessages: Refusals = {
  thinking: (value) => (value as { type?: unknown }).type === 'disabled',
  mcp_servers: harmless.empty,
  container: harmless.absent,
  context_management: harmless.absent,
};
