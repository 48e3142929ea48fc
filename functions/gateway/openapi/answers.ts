import { z } from 'zod';
import { halves } from '../../../artifact/manifest.ts';

/**
 * What answers look like, for the documentation: the fields a client may count on. Others may come with them.
 * Answers are written by the shapes, token by token, and not checked against this but in tests.
 */

const count = z.int().min(0);
const logprobs = z.looseObject({}).nullable();

const usage = z.looseObject({
  prompt_tokens: count,
  completion_tokens: count,
  total_tokens: count,
  prompt_tokens_details: z.looseObject({ cached_tokens: count }),
});

const timings = z
  .looseObject({ queue_ms: z.number(), prefill_ms: z.number(), decode_ms: z.number() })
  .optional();

const head = {
  id: z.string(),
  created: z.int(),
  model: z.string(),
  system_fingerprint: z.string(),
};

export const completionAnswer = z.looseObject({
  ...head,
  object: z.literal('text_completion'),
  choices: z.array(
    z.looseObject({ index: count, text: z.string(), logprobs, finish_reason: z.enum(['stop', 'length']) }),
  ),
  usage,
  timings,
});

export const chatAnswer = z.looseObject({
  ...head,
  object: z.literal('chat.completion'),
  choices: z.array(
    z.looseObject({
      index: count,
      message: z.looseObject({ role: z.literal('assistant'), content: z.string().nullable() }),
      logprobs,
      finish_reason: z.enum(['stop', 'length', 'tool_calls']),
    }),
  ),
  usage,
  timings,
});

export const responseAnswer = z.looseObject({
  id: z.string(),
  object: z.literal('response'),
  created_at: z.int(),
  model: z.string(),
  status: z.enum(['completed', 'incomplete']),
  incomplete_details: z.looseObject({ reason: z.literal('max_output_tokens') }).nullable(),
  output: z.array(z.looseObject({ type: z.string(), id: z.string(), status: z.string() })),
  usage: z.looseObject({ input_tokens: count, output_tokens: count, total_tokens: count }),
  timings,
});

export const messageAnswer = z.looseObject({
  id: z.string(),
  type: z.literal('message'),
  role: z.literal('assistant'),
  model: z.string(),
  content: z.array(z.looseObject({ type: z.string() })),
  stop_reason: z.enum(['end_turn', 'max_tokens', 'stop_sequence', 'tool_use']),
  stop_sequence: z.string().nullable(),
  usage: z.looseObject({ input_tokens: count, output_tokens: count, cache_read_input_tokens: count }),
});

export const countAnswer = z.looseObject({ input_tokens: count });

export const inputTokensAnswer = z.looseObject({
  object: z.literal('response.input_tokens'),
  input_tokens: count,
});

export const promptAnswer = z.looseObject({ prompt: z.string() });

export const tokenizeAnswer = z.looseObject({
  tokens: z.array(
    z.union([count, z.object({ id: count, piece: z.union([z.string(), z.array(z.int().min(0).max(255))]) })]),
  ),
  count,
  max_model_len: count,
  token_strs: z.array(z.string()).optional(),
});

export const detokenizeAnswer = z.looseObject({ content: z.string(), prompt: z.string() });

const modelAnswer = z.looseObject({
  id: z.string(),
  object: z.literal('model'),
  created: z.int(),
  owned_by: z.string(),
});

const precision = z.looseObject({ bits: z.int(), block_size: z.int().optional() });

/** `foldgate` is absent where nothing is known of the model, its composition where it comes from no store. */
export const describedModelAnswer = modelAnswer.extend({
  foldgate: z
    .looseObject({
      state: z.enum(['unloaded', 'loading', 'ready', 'evicted', 'failed', 'closed']),
      chat: z.boolean(),
      context_length: count,
      architecture: z.string().optional(),
      layers: z
        .array(
          z.looseObject({
            ...{ index: count, source: count, block: count },
            half: z.enum(halves).optional(),
          }),
        )
        .optional(),
      distinct_blocks: count.optional(),
      parameters: z.looseObject({ original: count, folded: count }).optional(),
      bytes: count.optional(),
      quantization: z.record(z.string(), precision).optional(),
    })
    .optional(),
});

export const modelsAnswer = z.looseObject({ object: z.literal('list'), data: z.array(modelAnswer) });

export const statusAnswer = z.looseObject({ status: z.string() });

export const openaiErrorAnswer = z.object({
  error: z.object({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
});

export const anthropicErrorAnswer = z.object({
  type: z.literal('error'),
  error: z.object({ type: z.string(), message: z.string() }),
  request_id: z.string().optional(),
});
