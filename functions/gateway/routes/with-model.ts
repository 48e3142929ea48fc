import type { Context } from 'hono';
import type { z } from 'zod';
import type { LoadedModel } from '../../model/loaded-model.ts';
import type { Gateway } from '../gateway.ts';
import type { Loan } from '../model-service.ts';
import { readBody } from './generation.ts';

/** The handler of an endpoint that asks a loaded model something and generates nothing. */
export function withModel<Body extends { model?: string | undefined }>(
  { models, inFlight }: Gateway,
  schema: z.ZodType<Body>,
  answer: (c: Context, body: Body, model: LoadedModel) => Promise<Response>,
) {
  return async (c: Context): Promise<Response> => {
    const body = schema.parse(await readBody(c));
    const service = models.require(body.model);
    inFlight.closing.throwIfAborted();
    const controller = inFlight.begin(c.req.raw.signal, { model: service, completions: 0 });
    let loan: Loan | undefined;
    try {
      loan = await service.borrow(controller.signal, inFlight.closing);
      return await answer(c, body, loan.model);
    } finally {
      loan?.end();
      inFlight.end(controller);
    }
  };
}
