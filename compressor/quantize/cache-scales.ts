import { Decoder } from '../../artifact/decoder/decoder.ts';
import {
  type CacheArray,
  type CachePart,
  cacheParts,
  decoderOptions,
} from '../../artifact/decoder/decoder-options.ts';
import { withResource } from '../../artifact/dispose.ts';
import type { Manifest } from '../../artifact/manifest.ts';
import { longestOf } from '../evaluate/windows.ts';
import { betweenSteps } from '../forward/between-steps.ts';

/** Codes reach from -127 to 127; the runtime's own -128 would stand for more than was ever seen. */
const largestCode = 127;

/** Of one layer's cache, [kvHeads * headSize] each: the step between two codes of a channel. */
export type LayerScales = Record<CachePart, Float32Array>;

export interface CacheScalesOptions {
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/**
 * The scales of an int8 cache, one for each channel of each head, from what a model's float32 cache holds after
 * each of some texts: the largest magnitude comes to the largest code. Channels of keys differ far more than their
 * tokens do (KIVI, arXiv 2402.02750), so a scale of its own for each costs next to nothing.
 *
 * Keys are kept after their rotation, which turns two channels into each other the further a text goes: both
 * have the scale of their common length, which stays as it is at any place.
 * @param graphPath of the model with its float32 cache, its blobs beside it
 * @returns one for each layer with a cache
 */
export async function cacheScales(
  graphPath: string,
  manifest: Manifest,
  windows: readonly Int32Array[],
  { onProgress, signal }: CacheScalesOptions = {},
): Promise<LayerScales[]> {
  const options = decoderOptions(manifest, graphPath, longestOf(windows));
  const { layers, kvHeads, headSize } = options.cache;
  const largest = Array.from({ length: layers }, () => ({
    key: new Float32Array(kvHeads * headSize),
    value: new Float32Array(kvHeads * headSize),
  }));
  await withResource(new Decoder(options), async (decoder) => {
    const cache = decoder.newCache();
    for (const [i, window] of windows.entries()) {
      await betweenSteps(signal);
      cache.clear(0);
      decoder.run(cache, window);
      const { data, tokens, [Symbol.dispose]: dispose } = cache.save(0);
      for (const [layer, { key, value }] of largest.entries()) {
        const [keys, values] = cacheParts.map((_, part) => data[layer * cacheParts.length + part]!);
        noteLengths(key, keys!, tokens, headSize);
        noteMagnitudes(value, values!, tokens, headSize);
      }
      dispose();
      onProgress?.(i + 1, windows.length);
    }
    decoder.release(cache);
  });
  return largest.map(({ key, value }) => ({
    key: scalesOf(key, headSize),
    value: scalesOf(value, headSize),
  }));
}

/** @param seen [heads, tokens, headSize] @param largest [heads * headSize], raised to what was seen */
function noteMagnitudes(largest: Float32Array, seen: CacheArray, tokens: number, headSize: number): void {
  for (let i = 0; i < seen.length; i++) {
    const channel = Math.floor(i / (tokens * headSize)) * headSize + (i % headSize);
    largest[channel] = Math.max(largest[channel]!, Math.abs(seen[i]!));
  }
}

/** As `noteMagnitudes`, of the lengths of the pairs that rotate: channel c and c + headSize / 2. */
function noteLengths(largest: Float32Array, seen: CacheArray, tokens: number, headSize: number): void {
  const half = headSize / 2;
  for (let start = 0; start < seen.length; start += headSize) {
    const head = Math.floor(start / (tokens * headSize)) * headSize;
    for (let pair = 0; pair < half; pair++) {
      const length = Math.hypot(seen[start + pair]!, seen[start + pair + half]!);
      largest[head + pair] = Math.max(largest[head + pair]!, length);
      largest[head + pair + half] = largest[head + pair]!;
    }
  }
}

/** A channel that was 0 throughout, as those are that pad a head, has the widest scale of its head. */
function scalesOf(largest: Float32Array, headSize: number): Float32Array {
  return largest.map((value, i) => {
    if (value > 0) return value / largestCode;
    const head = i - (i % headSize);
    return (Math.max(...largest.subarray(head, head + headSize)) || 1) / largestCode;
  });
}
