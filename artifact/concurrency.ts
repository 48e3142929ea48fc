/**
 * Runs `work` over `items`, at most `limit` at a time, started in order. The first failure stops further
 * items from starting, aborts the signal that the running ones got, and is thrown once they have ended, so
 * that nothing goes on in the background.
 * @returns the results, in the order of the items.
 */
export async function mapConcurrently<Item, Result>(
  items: Iterable<Item>,
  limit: number,
  work: (item: Item, signal: AbortSignal) => Promise<Result>,
  signal?: AbortSignal,
): Promise<Result[]> {
  const failure = new AbortController();
  const either = signal ? AbortSignal.any([signal, failure.signal]) : failure.signal;
  const results: Result[] = [];
  const queue = [...items].entries();
  const worker = async () => {
    for (const [index, item] of queue) {
      either.throwIfAborted();
      results[index] = await work(item, either);
    }
  };
  const guarded = async () => {
    try {
      await worker();
    } catch (error) {
      failure.abort(error); // The first call decides the reason; later ones change nothing.
    }
  };
  await Promise.all(Array.from({ length: limit }, guarded));
  either.throwIfAborted();
  return results;
}
