import { FoldgateError } from '../../artifact/errors.ts';
import { ModelUnavailableError } from './errors.ts';

/** Milliseconds that a load waits for other models to fall out of use, before its requests are told so. */
const defaultRoomDeadlineMs = 30_000;

/** A new version has no room beside the old one. */
export class NoRoomError extends FoldgateError {
  override name = 'NoRoomError';
}

/** What may be unloaded to make room. */
export interface Evictable {
  readonly users: number;
  readonly usedAt: number;
  readonly loaded: unknown;
  unload(): Promise<boolean>;
}

export interface MemoryBudgetOptions {
  /** Bytes of all models together. */
  limitBytes: number;
  candidates: () => Iterable<Evictable>;
  /** @default 30 s */
  roomDeadlineMs?: number;
}

/** Shares a number of bytes among models: who needs room has the least recently used of the others unloaded. */
export class MemoryBudget {
  readonly #options: MemoryBudgetOptions;
  #used = 0;
  #change = Promise.withResolvers<void>();

  constructor(options: MemoryBudgetOptions) {
    this.#options = options;
  }

  /** Bytes given out. */
  get used(): number {
    return this.#used;
  }

  /**
   * Takes `bytes`, unloading models that nobody uses, `except` excepted.
   * @param wait until models fall out of use; else throws NoRoomError at once
   * @throws ModelUnavailableError where the others stay in use; FoldgateError for more than the whole budget.
   */
  async take(
    bytes: number,
    { wait, except, signal }: { wait: boolean; except?: Evictable | undefined; signal: AbortSignal },
  ): Promise<void> {
    const { limitBytes, roomDeadlineMs = defaultRoomDeadlineMs } = this.#options;
    if (bytes > limitBytes) {
      throw new FoldgateError(
        `The model takes ${megabytes(bytes)}; all models together may take ${megabytes(limitBytes)}. ` +
          'Raise --memory, or serve a more strongly folded model.',
      );
    }
    const deadline = performance.now() + roomDeadlineMs;
    for (;;) {
      signal.throwIfAborted();
      await this.#makeRoom(bytes, except);
      if (this.#used + bytes <= limitBytes) {
        this.#used += bytes;
        return;
      }
      if (!wait) throw new NoRoomError(`There is no room for ${megabytes(bytes)} more.`);
      const left = deadline - performance.now();
      if (left <= 0)
        throw new ModelUnavailableError('All models that fit into memory are in use. Try again later.');
      await this.#changed(left, signal);
    }
  }

  release(bytes: number): void {
    this.#used -= bytes;
    this.noteChange();
  }

  /** Something fell out of use. */
  noteChange(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }

  async #makeRoom(bytes: number, except: Evictable | undefined): Promise<void> {
    while (this.#used + bytes > this.#options.limitBytes) {
      const idle = [...this.#options.candidates()].filter(
        (one) => one.loaded !== undefined && one.users === 0 && one !== except,
      );
      const oldest = idle.sort((a, b) => a.usedAt - b.usedAt)[0];
      if (!oldest || !(await oldest.unload())) return;
    }
  }

  async #changed(ms: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    const stop = () => resolve();
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop);
    await Promise.race([this.#change.promise, promise]);
    signal.removeEventListener('abort', stop);
    clearTimeout(timer);
  }
}

const megabytes = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`;
