import type { Context, MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import type { TextDelta } from '../../model/generate.ts';
import { callerOf } from '../access/caller.ts';
import { toApiError } from '../errors.ts';
import { RequestCancelled, unlessCancelled } from '../in-flight.ts';
import type { RequestObserver, RequestSpan } from './observer.ts';
import type { CompletionRecord, GenerationRecord, RequestTexts } from './request-record.ts';

const variable = 'watch';

/** The status of a request whose client did not wait for one; nginx's. */
const clientLeft = 499;

/** What a handler knows of a generation before it runs. */
export type GenerationStart = Pick<
  GenerationRecord,
  'model' | 'operation' | 'stream' | 'choices' | 'promptTokens' | 'maxTokens' | 'loadMs'
>;

/** Follows one request, and tells the observers when both its answer's head and its tokens are through. */
export class RequestWatch {
  readonly #c: Context;
  readonly #observers: readonly RequestObserver[];
  readonly #spans: RequestSpan[];
  readonly #begunAt = performance.now();
  #generation: GenerationRecord | undefined;
  #made: number[] = [];
  #lastAt: number[] = [];
  #isGenerating = false;
  #isAnswered = false;
  #error: unknown;
  readonly #texts: RequestTexts | undefined;

  /** @param withTexts keeps what was asked and answered. */
  constructor(c: Context, observers: readonly RequestObserver[], withTexts: boolean) {
    this.#c = c;
    if (withTexts) this.#texts = { asked: undefined, answered: [] };
    this.#observers = observers;
    const { method } = c.req;
    const head = {
      requestId: c.get('requestId'),
      method,
      route: routeOf(c),
      header: (name: string) => c.req.header(name),
    };
    this.#spans = observers.flatMap((observer) => observer.begin?.(head) ?? []);
  }

  /** The tokens are to come; `generated` has to be called when they are through. */
  generating(start: GenerationStart, asked: unknown): void {
    if (this.#texts) this.#texts.asked = asked;
    this.#isGenerating = true;
    this.#generation = { ...start, completionTokens: 0, cachedTokens: 0, completions: [] };
  }

  delta(index: number, { text, tokens, finish, timings }: TextDelta): void {
    if (this.#texts) this.#texts.answered[index] = (this.#texts.answered[index] ?? '') + text;
    const generation = this.#generation;
    if (!generation) return;
    this.#made[index] = (this.#made[index] ?? 0) + tokens;
    if (generation.stream && tokens > 0) this.#noteGap(index, generation.model, tokens);
    generation.completionTokens += tokens;
    if (finish)
      generation.completions.push({ finish, tokens: this.#made[index], timings } satisfies CompletionRecord);
  }

  /** No further token comes. */
  generated(cachedTokens: number, error?: unknown): void {
    if (this.#generation) this.#generation.cachedTokens = cachedTokens;
    this.#error ??= error;
    this.#isGenerating = false;
    this.#endOnce();
  }

  /** The answer's head is known. */
  answered(error?: unknown): void {
    this.#error ??= unlessCancelled(error);
    this.#isAnswered = true;
    this.#endOnce();
  }

  #noteGap(index: number, model: string, tokens: number): void {
    const now = performance.now();
    const last = this.#lastAt[index];
    this.#lastAt[index] = now;
    if (last === undefined) return; // the first one's wait is of another kind
    for (const observer of this.#observers) observer.tokens?.(model, (now - last) / tokens, tokens);
  }

  #endOnce(): void {
    if (!this.#isAnswered || this.#isGenerating) return;
    const record = {
      requestId: this.#c.get('requestId') as string,
      method: this.#c.req.method,
      route: routeOf(this.#c),
      status: this.#error instanceof RequestCancelled ? clientLeft : this.#c.res.status,
      caller: callerOf(this.#c).name,
      ms: performance.now() - this.#begunAt,
      error: codeOf(this.#error),
      generation: this.#generation,
      texts: this.#texts,
    };
    for (const span of this.#spans) span.end(record);
    for (const observer of this.#observers) observer.end?.(record);
  }
}

/** Tells the observers of each request. */
export function watchRequests(observers: readonly RequestObserver[], withTexts = false): MiddlewareHandler {
  return async (c, next) => {
    const watch = new RequestWatch(c, observers, withTexts);
    c.set(variable, watch);
    await next();
    watch.answered(c.error);
  };
}

/** @returns undefined where nobody observes. */
export function watchOf(c: Context): RequestWatch | undefined {
  return c.get(variable) as RequestWatch | undefined;
}

/** The route's pattern: addresses of strangers would make metrics without end. */
function routeOf(c: Context): string {
  const route = matchedRoutes(c).findLast(({ path }) => path !== '/*' && path !== '*');
  return route?.path ?? 'unknown';
}

function codeOf(error: unknown): string | undefined {
  if (error === undefined) return undefined;
  if (error instanceof RequestCancelled) return 'cancelled';
  const { code, type } = toApiError(error);
  return code ?? type;
}
