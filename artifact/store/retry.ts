import { setTimeout as sleep } from 'node:timers/promises';
import { FoldgateError } from '../errors.ts';

/**
 * Attempts without any progress before giving up. The S3 client itself tries each request three times
 * within a second; these bridge a server's restart or a network that is away for up to half a minute.
 */
const maxAttempts = 6;
const firstDelayMs = 250;
const maxDelayMs = 8_000;

/** Counts failures in a row and waits between them, a little longer each time and never in step with others. */
export class Retry {
  readonly #maxAttempts: number;
  #failures = 0;

  constructor(attempts: number = maxAttempts) {
    this.#maxAttempts = attempts;
  }

  /** Something arrived: the failures so far are forgiven. */
  progressed(): void {
    this.#failures = 0;
  }

  /** Waits before the next attempt. @throws `error` where trying again is useless or was tried enough. */
  async after(error: unknown, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    this.#failures++;
    if (!isTransient(error) || this.#failures >= this.#maxAttempts) throw error;
    const delay = Math.min(maxDelayMs, firstDelayMs * 2 ** (this.#failures - 1));
    await sleep(delay * (0.5 + Math.random() / 2), undefined, signal ? { signal } : {});
  }
}

export async function retrying<Result>(
  work: () => Promise<Result>,
  signal: AbortSignal | undefined,
  attempts?: number,
): Promise<Result> {
  const retry = new Retry(attempts);
  for (;;) {
    try {
      return await work();
    } catch (error) {
      await retry.after(error, signal);
    }
  }
}

/** A failure of the network or the server's moment, as opposed to an answer. */
function isTransient(error: unknown): boolean {
  if (error instanceof FoldgateError) return false;
  const { name, code, $metadata } = error as {
    name?: string;
    code?: string;
    $metadata?: { httpStatusCode?: number };
  };
  if (name === 'AbortError' || name === 'CredentialsProviderError' || code === 'ENOTFOUND') return false;
  const status = $metadata?.httpStatusCode;
  if (status !== undefined) return (status >= 500 && status !== 501) || status === 429 || status === 408;
  return code !== undefined || name === 'TimeoutError' || name === 'NetworkError';
}
