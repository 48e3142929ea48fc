import type { CacheType } from '../../artifact/decoder/decoder-options.ts';
import type { Manifest } from '../../artifact/manifest.ts';
import { servedDiskOf, servedMemoryOf } from '../../artifact/served-memory.ts';

const megabyte = 1024 * 1024;

/** Megabytes of a function's memory that bring one whole core; with less, its one thread waits for its share. */
const memoryOfOneCore = 1_769;
/** Megabytes. Lambda's largest function; accounts that are new may have a lower limit. */
export const largestMemory = 10_240;
/** Megabytes of a function's own disk: what comes for nothing, and the most that can be had. */
export const storageLimits = { free: 512, largest: 10_240 };

/** Tokens of one conversation that memory is meant to hold, where the model has as many. */
const plannedTokens = 4_096;

/** What a model asks of whatever serves it, in megabytes. */
export interface Sizes {
  memory: number;
  storage: number;
}

/** For a model whose size is not known: the bundled one fits easily. */
export const nominalSizes: Sizes = { memory: memoryOfOneCore, storage: storageLimits.free };

/**
 * What a function needs, which gets one request at a time.
 * @param kvCache what it keeps keys and values in
 * @throws RangeError for a model that no function can hold
 */
export function functionSizes(manifest: Manifest, kvCache?: CacheType): Sizes {
  const tokens = Math.min(plannedTokens, manifest.dimensions.contextLength);
  // A fifth more: what a request's text takes, and the heap between two collections.
  const needed = Math.ceil((servedMemoryOf(manifest, tokens, kvCache) * 1.2) / megabyte);
  const memory = Math.max(memoryOfOneCore, needed);
  const storage = Math.max(storageLimits.free, Math.ceil(servedDiskOf(manifest) / megabyte));
  for (const [what, size, largest] of [
    ['memory', memory, largestMemory],
    ['disk', storage, storageLimits.largest],
  ] as const) {
    if (size <= largest) continue;
    throw new RangeError(
      `${manifest.name} needs ${size} MB of ${what}; a Lambda function has at most ${largest}. ` +
        'Fold it more strongly, or serve it from containers (npm run manifests).',
    );
  }
  return { memory, storage };
}
