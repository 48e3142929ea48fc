import type { Context } from 'hono';
import { z } from 'zod';
import { ApiError } from '../errors.ts';
import type { Gateway } from '../gateway.ts';
import { tokenIds } from '../schemas/token-ids.ts';
import { readBody } from './generation.ts';

const input = z.union([z.string(), z.array(z.string()), tokenIds, z.array(tokenIds)]);

export const embeddingsSchema = z.object({ model: z.string(), input });

/**
 * POST /v1/embeddings is refused: a folded model's graph ends in logits, and the states before them, taken
 * from a model that was taught to go on with texts, would make poor embeddings without saying so.
 */
export function embeddings({ models }: Gateway) {
  return async (c: Context): Promise<Response> => {
    const { model } = embeddingsSchema.parse(await readBody(c));
    models.require(model);
    const message = `${model} generates text and makes no embeddings. Use a model that was trained for them, on a server for those.`;
    throw new ApiError(400, message, { param: 'model', code: 'embeddings_not_supported' });
  };
}
