import { openLocalModel } from '../../artifact/models/open-local.ts';
import { servedMemoryOf } from '../../artifact/served-memory.ts';
import { stepTime } from '../evaluate/step-time.ts';
import { contextTokens } from '../plan/served-bytes.ts';

/** What serving a model takes. */
export interface ServingCost {
  /** Milliseconds to decode a token of one sequence, on this machine. */
  time: number;
  /** How much quicker that is than the first model of the comparison: the median of the rounds' ratios. */
  speed: number;
  /** Resident bytes of a process that serves it with 2,048 tokens in the cache, computed. */
  memory: number;
}

/** A machine that does other things gives other times from one second to the next: all models take turns. */
const rounds = 3;

export interface ServingOptions {
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/**
 * Times stored models in turn, one loaded at a time.
 * @param models URLs of stored models; the first is what speeds are relative to
 * @param text tokens to run
 */
export async function servingCosts(
  models: readonly string[],
  text: Int32Array,
  { onProgress, signal }: ServingOptions = {},
): Promise<ServingCost[]> {
  const opened = [];
  for (const url of models) opened.push(await openLocalModel(url, signal ? { signal } : {}));
  const times: number[][] = opened.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, { graphPath, manifest }] of opened.entries()) {
      times[i]!.push(await stepTime(graphPath, manifest, text, signal));
      onProgress?.(round * opened.length + i + 1, rounds * opened.length);
    }
  }
  return opened.map(({ manifest }, i) => ({
    time: median(times[i]!),
    speed: median(times[i]!.map((time, round) => times[0]![round]! / time)),
    memory: servedMemoryOf(manifest, contextTokens),
  }));
}

/** Of an odd number of values. */
function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}
