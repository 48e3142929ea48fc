import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { requestId } from 'hono/request-id';
import { answerError } from './error-answer.ts';
import { ApiError, toApiError, tooLarge } from './errors.ts';
import type { Gateway } from './gateway.ts';
import { InFlight, RequestCancelled } from './in-flight.ts';
import { anthropicRequestId } from './messages/request-id.ts';
import type { ModelRegistry } from './model-registry.ts';
import { allowedMethods } from './route.ts';
import { routesOf } from './routes.ts';

/** Bytes. Room for a context of 256k tokens as ids; more is no prompt, and would hold up the others. */
const defaultMaxBodyBytes = 4 * 1024 * 1024;

/** Completions at once, over all requests. Those without a slot wait for one, each with its prompt in memory. */
const defaultMaxCompletions = 256;

export interface AppOptions {
  /** @default 4 MiB */
  maxBodyBytes?: number;
  /** Completions made or waiting at once, a request's `n` of each prompt; further ones get 503. @default 256 */
  maxCompletions?: number;
  /** Told of every error that is the server's own fault. @default nothing */
  onError?: (error: unknown) => void;
}

/** The HTTP interface as OpenAI's clients expect it, over any models; runs wherever Hono runs. */
export function createApp(
  models: ModelRegistry,
  options: AppOptions = {},
): { app: Hono; inFlight: InFlight } {
  const { maxBodyBytes = defaultMaxBodyBytes, maxCompletions = defaultMaxCompletions } = options;
  const onError = (error: unknown) => {
    const isOurs = !(error instanceof RequestCancelled) && toApiError(error).status >= 500;
    if (isOurs) options.onError?.(error);
  };
  const gateway: Gateway = { models, inFlight: new InFlight(), maxCompletions, onError };
  const { closing } = gateway.inFlight;
  const limit = bodyLimit({
    maxSize: maxBodyBytes,
    onError: () => {
      throw tooLarge(maxBodyBytes);
    },
  });

  const app = new Hono();
  app.use(requestId());
  app.use('/v1/messages/*', anthropicRequestId);
  app.use(async (c, next) => {
    await next();
    // Clients that keep connections should go elsewhere with their next request.
    if (closing.aborted) c.header('connection', 'close');
  });
  const routes = routesOf(gateway);
  for (const { method, path, handler } of routes) {
    if (method === 'POST') app.post(path, limit, handler);
    else app.get(path, handler);
  }
  for (const [path, allowed] of allowedMethods(routes)) {
    app.all(path, (c) => {
      c.header('allow', allowed);
      const message = `${c.req.path} takes ${allowed}, not ${c.req.method}.`;
      return answerError(c, new ApiError(405, message, { code: 'method_not_allowed' }));
    });
  }
  app.notFound((c) => {
    const message = `There is no ${c.req.method} ${c.req.path} here.`;
    return answerError(c, new ApiError(404, message, { code: 'unknown_url' }));
  });
  app.onError((error, c) => {
    onError(error);
    return answerError(c, toApiError(error));
  });
  return { app, inFlight: gateway.inFlight };
}
