import type { TransferOptions } from './store/store.ts';

interface Work<Result> {
  promise: Promise<Result>;
  abort: AbortController;
  waiting: number;
  listeners: Set<(bytes: number) => void>;
  /** Progress so far, for those who come later. */
  bytes: number;
}

/**
 * Work that several callers may ask for at the same time and that is done once. Every caller may give up on
 * its own; the work itself is aborted when nobody waits any more. Finished work is forgotten, failed or not:
 * what it made is looked at afresh next time.
 */
export class SharedWork<Result> {
  readonly #running = new Map<string, Work<Result>>();

  async run(
    key: string,
    start: (options: { signal: AbortSignal; onProgress: (bytes: number) => void }) => Promise<Result>,
    { signal, onProgress }: TransferOptions = {},
  ): Promise<Result> {
    signal?.throwIfAborted();
    const work = this.#running.get(key) ?? this.#start(key, start);
    const listener = (bytes: number) => onProgress?.(bytes);
    if (work.bytes > 0) listener(work.bytes);
    work.listeners.add(listener);
    work.waiting++;
    const gaveUp = Promise.withResolvers<never>();
    const giveUp = () => gaveUp.reject(signal?.reason);
    signal?.addEventListener('abort', giveUp, { once: true });
    try {
      return await Promise.race([work.promise, gaveUp.promise]);
    } finally {
      signal?.removeEventListener('abort', giveUp);
      work.listeners.delete(listener);
      if (--work.waiting === 0) {
        // Whoever comes now must not join work that is being aborted.
        if (this.#running.get(key) === work) this.#running.delete(key);
        work.abort.abort();
        // Nothing goes on in the background: who is told of the end finds everything tidied up.
        await work.promise.catch(() => {});
      }
    }
  }

  #start(
    key: string,
    start: (options: { signal: AbortSignal; onProgress: (bytes: number) => void }) => Promise<Result>,
  ): Work<Result> {
    const abort = new AbortController();
    const listeners = new Set<(bytes: number) => void>();
    const onProgress = (bytes: number) => {
      work.bytes += bytes;
      for (const listener of listeners) listener(bytes);
    };
    const promise = Promise.resolve()
      .then(() => start({ signal: abort.signal, onProgress }))
      .finally(() => {
        if (this.#running.get(key) === work) this.#running.delete(key);
      });
    promise.catch(() => {}); // All callers may have given up by the time it fails.
    const work: Work<Result> = { promise, abort, waiting: 0, listeners, bytes: 0 };
    this.#running.set(key, work);
    return work;
  }
}
