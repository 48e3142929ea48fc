import type { Context } from 'hono';
import type { z } from 'zod';
import type { LoadedModel } from '../../model/loaded-model.ts';
import type { Gateway } from '../gateway.ts';
import { unlessAborted } from '../in-flight.ts';
import { readBody, requireModel } from './generation.ts';

/** The handler of an endpoint that asks a loaded model something and generates nothing. */
export function withModel<Body extends { model?: string | undefined }>(
  { service, inFlight }: Gateway,
  schema: z.ZodType<Body>,
  answer: (c: Context, body: Body, model: LoadedModel) => Promise<Response>,
) {
  return async (c: Context): Promise<Response> => {
    const body = schema.parse(await readBody(c));
    if (body.model !== undefined) requireModel(service.name, body.model);
    inFlight.closing.throwIfAborted();
    const controller = inFlight.begin(c.req.raw.signal, 0);
    try {
      const model = await unlessAborted(service.load(), controller.signal, inFlight.closing);
      return await answer(c, body, model);
    } finally {
      inFlight.end(controller);
    }
  };
}
