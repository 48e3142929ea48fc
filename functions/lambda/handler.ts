import type { Hono } from 'hono';
import { DeadlineError } from '../gateway/errors.ts';
import { type HttpEvent, requestOf } from './event.ts';
import {
  type InvocationContext,
  type ResponseStream,
  type StreamingHandler,
  streaming,
  withHead,
} from './runtime.ts';

/** Milliseconds before Lambda ends the process in which an unfinished answer still gets its proper end. */
const deadlineMarginMs = 1_500;

export interface Invocation {
  requestId: string;
  path: string;
  status: number;
  /** Whether the answer was made of server-sent events. */
  streamed: boolean;
  /** When the handler began, as by `performance.now`. */
  begunAt: number;
  /** Milliseconds from then on. Undefined where no byte was sent. */
  firstByteMs: number | undefined;
  durationMs: number;
  /** Whether the way to the client was closed before the answer's end. */
  cut: boolean;
}

export interface HandlerOptions {
  /** Told of what went wrong here, outside of the application. */
  onError: (error: unknown) => void;
  /** Told of every answered invocation. */
  onInvocation?: (invocation: Invocation) => void;
  /** Runs before each request, which waits for it. */
  before?: () => Promise<void>;
}

/**
 * Answers Lambda's invocations with an application, streamed. It never rejects: an error that reaches the
 * runtime in the middle of a stream ends the process, and its warm model with it.
 */
export function createHandler(app: Hono, options: HandlerOptions): StreamingHandler {
  return streaming(async (event, stream, context) => {
    const answer = new Answer(stream, context, options);
    try {
      await options.before?.();
      await answer.send(await app.fetch(requestOf(event, answer.signal)));
    } catch (error) {
      options.onError(error);
      await answer.fail();
    } finally {
      answer.close(event);
    }
  });
}

class Answer {
  readonly #stream: ResponseStream;
  readonly #context: InvocationContext;
  readonly #options: HandlerOptions;
  readonly #stop = new AbortController();
  readonly #closed = Promise.withResolvers<void>();
  readonly #timer: NodeJS.Timeout;
  readonly #begun = performance.now();
  #status = 500;
  #streamed = false;
  #firstByte: number | undefined;
  #cut = false;

  constructor(stream: ResponseStream, context: InvocationContext, options: HandlerOptions) {
    this.#stream = stream;
    this.#context = context;
    this.#options = options;
    // Lambda says nothing of clients that go; where the way to them breaks, this is all there is to see.
    stream.on('close', () => this.#gone());
    stream.on('error', () => this.#gone());
    const left = context.getRemainingTimeInMillis() - deadlineMarginMs;
    this.#timer = setTimeout(() => this.#stop.abort(new DeadlineError()), Math.max(0, left));
  }

  /** Aborts at the deadline, or when nobody will get the answer. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  async send(response: Response): Promise<void> {
    if (this.#cut) return;
    this.#status = response.status;
    this.#streamed = response.headers.get('content-type')?.startsWith('text/event-stream') ?? false;
    const headers = Object.fromEntries([...response.headers].filter(([name]) => !isOfConnection(name)));
    const head = { statusCode: response.status, headers, cookies: response.headers.getSetCookie() };
    const out = withHead(this.#stream, head);
    for await (const chunk of response.body ?? []) {
      this.#firstByte ??= performance.now() - this.#begun;
      if (this.#cut) return; // leaving the loop cancels the body
      if (!out.write(chunk)) await this.#drained();
    }
    // The head goes with the first write, also where there is nothing else.
    if (this.#firstByte === undefined) out.write('');
    out.end();
  }

  /** Ends an answer that could not be made or finished. */
  async fail(): Promise<void> {
    if (this.#stream.writableEnded || this.#cut) return;
    if (this.#firstByte === undefined) {
      const body = { error: { message: 'The server failed on this request.', type: 'server_error' } };
      await this.send(Response.json(body, { status: 500 })).catch(() => {});
    }
    if (!this.#stream.writableEnded) this.#stream.end();
  }

  close(event: HttpEvent): void {
    clearTimeout(this.#timer);
    this.#options.onInvocation?.({
      requestId: this.#context.awsRequestId,
      path: 'rawPath' in event ? event.rawPath : event.path,
      status: this.#status,
      streamed: this.#streamed,
      begunAt: this.#begun,
      firstByteMs: this.#firstByte,
      durationMs: performance.now() - this.#begun,
      cut: this.#cut,
    });
  }

  async #drained(): Promise<void> {
    const drained = Promise.withResolvers<void>();
    this.#stream.once('drain', drained.resolve);
    await Promise.race([drained.promise, this.#closed.promise]);
    this.#stream.off('drain', drained.resolve);
  }

  #gone(): void {
    if (this.#stream.writableEnded) return;
    this.#cut = true;
    this.#closed.resolve();
    this.#stop.abort();
  }
}

/** Headers about a connection, which is Lambda's business. Cookies travel apart. */
function isOfConnection(name: string): boolean {
  return ['connection', 'keep-alive', 'transfer-encoding', 'set-cookie'].includes(name);
}
