import { setImmediate } from 'node:timers/promises';

/**
 * Awaited between two steps of long work. The runtime's calls block the thread, so Ctrl-C is heard here or
 * not at all.
 * @throws the signal's reason, where it has gone off
 */
export async function betweenSteps(signal: AbortSignal | undefined): Promise<void> {
  await setImmediate();
  signal?.throwIfAborted();
}
