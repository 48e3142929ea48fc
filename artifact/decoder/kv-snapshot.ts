import { type CacheForm, cacheArrays, cacheBytes } from './decoder-options.ts';
import type { KvSnapshot } from './kv-cache.ts';

/**
 * Keys and values that were written one array after the other, as a snapshot that a cache can begin with.
 * @param memory becomes the snapshot's own
 * @throws RangeError where it is not the size that so many tokens have
 */
export function snapshotOf(form: CacheForm, tokens: number, memory: ArrayBuffer): KvSnapshot {
  const { elementType, arrays, kvHeads, headSize } = form;
  const size = kvHeads * tokens * headSize;
  const bytes = cacheBytes(form, tokens);
  if (memory.byteLength !== bytes) {
    throw new RangeError(
      `${memory.byteLength} bytes are no keys and values of ${tokens} tokens in ${elementType}; ${bytes} are expected.`,
    );
  }
  const all = new cacheArrays[elementType](memory);
  return {
    type: elementType,
    tokens,
    bytes,
    data: Array.from({ length: arrays }, (_, i) => all.subarray(i * size, (i + 1) * size)),
    // Without waiting for the garbage collector, which an idle process does not run.
    [Symbol.dispose]: () => void memory.transfer(0),
  };
}
