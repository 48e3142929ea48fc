import { z } from 'zod';
import { orDefault, sharedFields, stopString, tokenLimit } from '../schemas/fields.ts';
import { harmless, type Refusals } from '../schemas/refused.ts';

/** Every one is searched for in every token's text. */
const maxStopSequences = 32;

const textBlock = z.object({ type: z.literal('text'), text: z.string() });

const content = z.union([z.string(), z.array(textBlock)], {
  error:
    'should be a string or an array of {"type": "text"} blocks; images, documents and tools are not supported',
});

const message = z.object({
  role: z.enum(['user', 'assistant', 'system'], { error: 'should be user, assistant or system' }),
  content,
});

const conversation = {
  messages: z.array(message).min(1),
  system: orDefault(content, undefined),
};

const { stop: _stop, stream_options: _options, n: _n, ...shared } = sharedFields;

/** The body of POST /v1/messages. */
export const messagesSchema = z.object({
  ...shared,
  ...conversation,
  max_tokens: tokenLimit.min(1),
  stop_sequences: orDefault(z.array(stopString).max(maxStopSequences), []),
});

export type MessagesBody = z.infer<typeof messagesSchema>;

/** The body of POST /v1/messages/count_tokens. */
export const countTokensSchema = z.object({ model: shared.model, ...conversation });

export type ConversationBody = z.infer<typeof countTokensSchema>;

/** What Anthropic has and changes the answer. */
export const refusedInMessages: Refusals = {
  tools: harmless.empty,
  tool_choice: (value) => ['auto', 'none'].includes((value as { type?: string }).type ?? ''),
  thinking: (value) => (value as { type?: unknown }).type === 'disabled',
  output_config: harmless.empty,
  mcp_servers: harmless.empty,
  container: harmless.absent,
  context_management: harmless.absent,
};
