/** The requests being answered: how many, and a way to stop one or all. */
export class InFlight {
  readonly #open = new Set<AbortController>();
  #idle: PromiseWithResolvers<void> | undefined;

  get size(): number {
    return this.#open.size;
  }

  /** @param client aborts when the client closes its connection. */
  begin(client: AbortSignal): AbortController {
    const controller = new AbortController();
    this.#open.add(controller);
    const abort = () => controller.abort(new RequestCancelled());
    if (client.aborted) abort();
    else client.addEventListener('abort', abort, { once: true });
    return controller;
  }

  end(controller: AbortController): void {
    this.#open.delete(controller);
    if (this.#open.size === 0) this.#idle?.resolve();
  }

  abortAll(reason: Error): void {
    for (const controller of this.#open) controller.abort(reason);
  }

  /** Resolves when no request is being answered. */
  async whenIdle(): Promise<void> {
    if (this.#open.size === 0) return;
    this.#idle ??= Promise.withResolvers();
    await this.#idle.promise;
  }
}

/** The client went away; nobody reads the answer. */
export class RequestCancelled extends Error {
  override name = 'RequestCancelled';
  constructor() {
    super('The client closed the connection.');
  }
}
