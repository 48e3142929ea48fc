import { Hono, type MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { cors } from 'hono/cors';
import { requestId } from 'hono/request-id';
import type { ApiKeys } from './access/api-keys.ts';
import { authenticate, limitRequests } from './access/guard.ts';
import type { RateLimits } from './access/rate-limits.ts';
import { answerError } from './error-answer.ts';
import { ApiError, toApiError, tooLarge } from './errors.ts';
import type { Gateway } from './gateway.ts';
import { InFlight, RequestCancelled, unlessCancelled } from './in-flight.ts';
import { anthropicRequestId } from './messages/request-id.ts';
import type { ModelRegistry } from './model-registry.ts';
import type { Metrics } from './observe/metrics.ts';
import type { RequestObserver } from './observe/observer.ts';
import { watchRequests } from './observe/request-watch.ts';
import { allowedMethods } from './route.ts';
import { routesOf } from './routes.ts';

/** Bytes. Room for a context of 256k tokens as ids; more is no prompt, and would hold up the others. */
const defaultMaxBodyBytes = 4 * 1024 * 1024;

/** Completions of a model at once. Those without a slot wait for one, each with its prompt in memory. */
const defaultMaxCompletions = 256;

/** Seconds that browsers may remember what they were told before their requests. */
const corsMaxAge = 600;

export interface AppOptions {
  /** @default 4 MiB */
  maxBodyBytes?: number;
  /** Completions of a model made or waiting at once, a request's `n` of each prompt; others get 429. @default 256 */
  maxCompletions?: number;
  /** Tokens of one prompt. @default the context's */
  maxPromptTokens?: number | undefined;
  /** Milliseconds in which a request is answered or stopped. @default none */
  deadlineMs?: number | undefined;
  /** Who may ask. @default everybody */
  keys?: ApiKeys | undefined;
  /** How much each may ask. @default no limits */
  limits?: RateLimits | undefined;
  /** Pages of these origins may ask; `*` is any. @default none */
  corsOrigins?: readonly string[] | undefined;
  /** Answered at /metrics. @default none */
  metrics?: Metrics | undefined;
  /** Told of every request. @default nobody */
  observers?: readonly RequestObserver[] | undefined;
  /** Observers see prompts and completions too. @default false */
  observeTexts?: boolean | undefined;
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
  const gateway: Gateway = {
    models,
    inFlight: new InFlight(),
    maxCompletions,
    maxPromptTokens: options.maxPromptTokens ?? Infinity,
    deadlineMs: options.deadlineMs,
    limits: options.limits,
    metrics: options.metrics,
    onError,
  };
  const { closing } = gateway.inFlight;
  const limit = bodyLimit({
    maxSize: maxBodyBytes,
    onError: () => {
      throw tooLarge(maxBodyBytes);
    },
  });

  const app = new Hono();
  app.use(requestId());
  const observers = [...(options.observers ?? []), ...(options.metrics ? [options.metrics] : [])];
  if (observers.length > 0) app.use(watchRequests(observers, options.observeTexts));
  if (options.corsOrigins) app.use(corsFor(options.corsOrigins));
  app.use('/v1/messages/*', anthropicRequestId);
  app.use(async (c, next) => {
    await next();
    // Clients that keep connections should go elsewhere with their next request.
    if (closing.aborted) c.header('connection', 'close');
  });
  const routes = routesOf(gateway);
  for (const { method, path, open, handler } of routes) {
    const guards: MiddlewareHandler[] = [];
    if (options.keys && !open) guards.push(authenticate(options.keys));
    if (options.limits && method === 'POST') guards.push(limitRequests(options.limits));
    if (method === 'POST') guards.push(limit);
    app.on(method, [path], ...guards, handler);
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
  app.onError((thrown, c) => {
    const error = unlessCancelled(thrown);
    onError(error);
    return answerError(c, toApiError(error));
  });
  return { app, inFlight: gateway.inFlight };
}

function corsFor(origins: readonly string[]): MiddlewareHandler {
  const exposed = ['x-request-id', 'server-timing', 'retry-after'];
  for (const kind of ['requests', 'tokens']) {
    for (const what of ['limit', 'remaining', 'reset']) exposed.push(`x-ratelimit-${what}-${kind}`);
  }
  return cors({
    origin: origins.includes('*') ? '*' : [...origins],
    allowMethods: ['GET', 'POST'],
    exposeHeaders: exposed,
    maxAge: corsMaxAge,
  });
}
