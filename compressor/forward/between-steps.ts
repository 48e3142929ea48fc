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

/** Runs one item after the other, each a step of its own. */
export async function inSteps<Item, Result>(
  items: readonly Item[],
  run: (item: Item) => Result,
  signal: AbortSignal | undefined,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const item of items) {
    await betweenSteps(signal);
    results.push(run(item));
  }
  return results;
}
