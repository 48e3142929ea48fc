import { z } from 'zod';
import { orDefault, sharedFields, tokenLimit, topLogprobs } from '../schemas/fields.ts';
import { harmless, type Refusals } from '../schemas/refused.ts';
import { choiceProblem, toolFields } from './tools.ts';

/** What a client sends, and what it was answered before. */
const textPart = z.object({ type: z.enum(['input_text', 'output_text']), text: z.string() });

const content = z.union([z.string(), z.array(textPart).min(1)], {
  error:
    'should be a string or an array of {"type": "input_text"} parts; images, audio and files are not supported',
});

const roles = ['user', 'assistant', 'system', 'developer'] as const;

const message = z.object({
  type: z.literal('message').optional(),
  role: z.enum(roles, { error: `should be one of ${roles.join(', ')}` }),
  content,
});

const call = z.object({
  type: z.literal('function_call'),
  call_id: z.string(),
  name: z.string(),
  arguments: z.string(),
});

const result = z.object({ type: z.literal('function_call_output'), call_id: z.string(), output: content });

const item = z.discriminatedUnion('type', [message, call, result], {
  error: 'should be a message, function_call or function_call_output; other items are not supported',
});

const { n: _n, stream_options: _options, ...shared } = sharedFields;

const conversation = {
  input: z.union([z.string(), z.array(item).min(1)]),
  instructions: orDefault(z.string(), undefined),
  ...toolFields,
};

const schema = z.record(z.string(), z.unknown());

const format = z.discriminatedUnion(
  'type',
  [
    z.object({ type: z.literal('text') }),
    z.object({ type: z.literal('json_object') }),
    z.object({
      type: z.literal('json_schema'),
      name: z.string(),
      schema,
      strict: orDefault(z.boolean(), false),
    }),
  ],
  { error: 'should be an object whose type is text, json_object or json_schema' },
);

/** The body of POST /v1/responses/input_tokens. */
export const inputTokensSchema = z.object({ model: shared.model, ...conversation });

export type InputBody = Omit<z.infer<typeof inputTokensSchema>, 'model'>;

/** What `include` names for the log probabilities of an answer's tokens. */
export const logprobsField = 'message.output_text.logprobs';

/** The body of POST /v1/responses. Without a token limit the answer may fill the context. */
export const responsesSchema = z
  .object({
    ...shared,
    ...conversation,
    text: orDefault(z.object({ format: orDefault(format, { type: 'text' } as const) }), {
      format: { type: 'text' } as const,
    }),
    max_output_tokens: orDefault(tokenLimit.min(1), undefined),
    /** Other things to include are those that no answer here has. */
    include: orDefault(z.array(z.string()), [] as string[]),
    top_logprobs: orDefault(topLogprobs, 0),
    /** Given back as it came. */
    metadata: orDefault(z.record(z.string(), z.string()), {}),
  })
  .refine((body) => choiceProblem(body) === undefined, {
    path: ['tool_choice'],
    error: ({ input }) => choiceProblem(input as Parameters<typeof choiceProblem>[0]),
  });

export type ResponsesBody = z.infer<typeof responsesSchema>;

/** What OpenAI has here and changes the answer. */
export const refusedInResponses: Refusals = {
  previous_response_id: harmless.absent,
  conversation: harmless.absent,
  store: (value) => value === false,
  background: (value) => value === false,
  reasoning: (value) => Object.values(value as object).every((one) => one === null || one === 'none'),
  prompt: harmless.absent,
  truncation: (value) => value === 'disabled',
  context_management: harmless.empty,
  moderation: harmless.absent,
};
