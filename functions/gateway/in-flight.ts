import { FoldgateError } from '../../artifact/errors.ts';

/** What a request asks for. */
interface Work {
  /** Stands for itself. */
  model: object;
  completions: number;
}

/** The requests being answered: how many, and a way to stop one or all. */
export class InFlight {
  readonly #open = new Map<AbortController, Work>();
  readonly #closing = new AbortController();
  #idle: PromiseWithResolvers<void> | undefined;

  /** Requests. */
  get size(): number {
    return this.#open.size;
  }

  /** Completions that the requests ask of a model. */
  completionsOf(model: object): number {
    let sum = 0;
    for (const work of this.#open.values()) if (work.model === model) sum += work.completions;
    return sum;
  }

  /** Aborts when the server is told to stop, with the error for requests that have not begun. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** @param client aborts when the client closes its connection, or with the error that ends the request. */
  begin(client: AbortSignal, work: Work): AbortController {
    const controller = new AbortController();
    this.#open.set(controller, work);
    const abort = () =>
      controller.abort(client.reason instanceof FoldgateError ? client.reason : new RequestCancelled());
    if (client.aborted) abort();
    else client.addEventListener('abort', abort, { once: true });
    return controller;
  }

  end(controller: AbortController): void {
    this.#open.delete(controller);
    if (this.#open.size === 0) this.#idle?.resolve();
  }

  /** Takes no further requests; those that run go on. */
  close(reason: Error): void {
    this.#closing.abort(reason);
  }

  abortAll(reason: Error): void {
    for (const controller of this.#open.keys()) controller.abort(reason);
  }

  /** Resolves when no request is being answered. */
  async whenIdle(): Promise<void> {
    if (this.#open.size === 0) return;
    this.#idle ??= Promise.withResolvers();
    await this.#idle.promise;
  }
}

/** Waits for `work`, or until one of the signals aborts. @throws the signal's reason */
export async function unlessAborted<T>(work: Promise<T>, ...signals: AbortSignal[]): Promise<T> {
  const stopped = Promise.withResolvers<never>();
  const stop = (event: Event) => stopped.reject((event.target as AbortSignal).reason);
  for (const signal of signals) {
    if (signal.aborted) stopped.reject(signal.reason);
    else signal.addEventListener('abort', stop, { once: true });
  }
  try {
    return await Promise.race([stopped.promise, work]);
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', stop);
  }
}

/** What it means where a client leaves in the middle of its own request. */
export function unlessCancelled(error: unknown): unknown {
  return (error as NodeJS.ErrnoException | undefined)?.code === 'ECONNRESET' ? new RequestCancelled() : error;
}

/** The client went away; nobody reads the answer. */
export class RequestCancelled extends Error {
  override name = 'RequestCancelled';
  constructor() {
    super('The client closed the connection.');
  }
}
