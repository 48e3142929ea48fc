import type { Context } from 'hono';
import type { z } from 'zod';
import type { TextRequest } from '../../model/generate.ts';
import type { LoadedModel } from '../../model/loaded-model.ts';
import { type Caller, callerOf } from '../access/caller.ts';
import { sendAnswer } from '../answer.ts';
import { type Choice, Usage } from '../choices.ts';
import { ApiError, DeadlineError, overloaded, promptTooLong } from '../errors.ts';
import type { Gateway } from '../gateway.ts';
import type { Loan } from '../model-service.ts';
import { watchOf } from '../observe/request-watch.ts';
import { refuseUnsupported } from '../schemas/refused.ts';
import type { Shape, ShapeOptions } from '../shapes.ts';

/** What completions and chat do each in their own way. */
export interface Endpoint<Body> {
  schema: z.ZodType<Body>;
  refusals: Readonly<Record<string, (value: unknown) => boolean>>;
  /** Completions that a valid body asks for. */
  completions(body: Body): number;
  /** Streams end with `usage`, asked for or not. @default false */
  alwaysReportsUsage?: boolean;
  /** OpenTelemetry's word for it. @default chat */
  operation?: 'chat' | 'text_completion';
  /** From a valid body to what the engine and the answer need. @throws ApiError, PromptError */
  prepare(body: Body, model: LoadedModel): Promise<Prepared>;
}

interface Prepared {
  requests: TextRequest[];
  prompts: number[][];
  shape: (options: ShapeOptions) => Shape;
  /** Which of the choices are sent, where they are not streamed. @default all */
  select?: (choices: Choice[]) => Choice[];
}

export interface CommonFields {
  model: string;
  stream: boolean;
  stream_options?: { include_usage: boolean; continuous_usage_stats: boolean } | undefined;
}

/** The handler of an endpoint that generates text. */
export function generation<Body extends CommonFields>(endpoint: Endpoint<Body>, gateway: Gateway) {
  return async (c: Context): Promise<Response> => {
    const raw = await readBody(c);
    refuseUnsupported(raw, endpoint.refusals);
    const body = endpoint.schema.parse(raw);
    const { models, inFlight, limits, maxCompletions, onError } = gateway;
    const caller = callerOf(c);
    const service = models.require(body.model);
    inFlight.closing.throwIfAborted();
    const completions = endpoint.completions(body);
    const others = inFlight.completionsOf(service);
    // A model without any other work takes whatever a single request may ask for.
    if (others > 0 && others + completions > maxCompletions) throw overloaded(others);
    // Counted from here on: waiting for the model to load is a part of being answered.
    const controller = inFlight.begin(c.req.raw.signal, { model: service, completions });
    const deadline = deadlineOf(controller, gateway.deadlineMs);
    let loan: Loan | undefined;
    const end = () => {
      clearTimeout(deadline);
      loan?.end();
      inFlight.end(controller);
    };
    try {
      const asked = performance.now();
      loan = await service.borrow(controller.signal, inFlight.closing);
      const loadTime = performance.now() - asked;
      const { model } = loan;
      const { requests, prompts, shape, select } = await endpoint.prepare(body, model);
      await admitPrompts(c, prompts, gateway);
      const { include_usage = false, continuous_usage_stats = false } = body.stream_options ?? {};
      const includeUsage = endpoint.alwaysReportsUsage ?? include_usage;
      const usage = new Usage(prompts, requests.length);
      const watch = watchOf(c);
      watch?.generating(
        {
          model: service.name,
          operation: endpoint.operation ?? 'chat',
          stream: body.stream,
          choices: requests.length,
          promptTokens: prompts.reduce((sum, prompt) => sum + prompt.length, 0),
          maxTokens: requests[0]?.maxTokens ?? 0,
          loadMs: loadTime,
        },
        raw.messages ?? raw.prompt ?? raw.input,
      );
      return await sendAnswer(c, {
        run: { service, model, controller },
        requests: requests.map((request) => ({ ...request, cacheSalt: saltOf(caller, request.cacheSalt) })),
        usage,
        shape: shape({
          model: body.model,
          fingerprint: model.fingerprint,
          includeUsage,
          ...(continuous_usage_stats && { usageSoFar: () => usage.fields().usage }),
        }),
        select,
        stream: body.stream,
        includeUsage,
        loadTime,
        onError,
        onDelta: watch && ((index, delta) => watch.delta(index, delta)),
        onEnd(error) {
          end();
          watch?.generated(usage.cached, error);
          void limits?.noteTokens(caller, usage.completion).catch(onError);
        },
      });
    } catch (error) {
      end();
      throw error;
    }
  };
}

/** Keys never share what was read of their prompts: how long reading takes would tell of others' texts. */
function saltOf({ name }: Caller, salt = ''): string {
  return name === '' ? salt : `${name}\n${salt}`;
}

/** Stops a request whose time is up. */
function deadlineOf(controller: AbortController, deadlineMs: number | undefined): NodeJS.Timeout | undefined {
  if (deadlineMs === undefined) return undefined;
  return setTimeout(() => controller.abort(new DeadlineError()), deadlineMs);
}

/** @throws ApiError 400, 429 for prompts that are too long, or too much for this minute. */
async function admitPrompts(c: Context, prompts: readonly number[][], gateway: Gateway): Promise<void> {
  const lengths = prompts.map((prompt) => prompt.length);
  const longest = Math.max(...lengths);
  if (longest > gateway.maxPromptTokens) throw promptTooLong(longest, gateway.maxPromptTokens);
  const all = lengths.reduce((sum, length) => sum + length, 0);
  const headers = await gateway.limits?.takeTokens(callerOf(c), all);
  for (const [name, value] of Object.entries(headers ?? {})) c.header(name, value);
}

/** @throws ApiError 400 where the body is no JSON object. */
export async function readBody(c: Context): Promise<Record<string, unknown>> {
  let body: unknown;
  const text = await c.req.text();
  try {
    body = JSON.parse(text);
  } catch (cause) {
    throw new ApiError(400, `The request body is no JSON: ${(cause as Error).message}`, {
      code: 'invalid_json',
      cause,
    });
  }
  if (typeof body === 'object' && body !== null && !Array.isArray(body))
    return body as Record<string, unknown>;
  throw new ApiError(400, 'The request body should be a JSON object.', { code: 'invalid_json' });
}
