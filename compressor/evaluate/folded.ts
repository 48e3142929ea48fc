import { Decoder } from '../../artifact/decoder/decoder.ts';
import { type CacheType, decoderOptions } from '../../artifact/decoder/decoder-options.ts';
import { withResource } from '../../artifact/dispose.ts';
import type { Manifest } from '../../artifact/manifest.ts';
import { CachedRun } from './cached-run.ts';
import type { EvaluateOptions } from './student.ts';
import { longestOf, type Quality, qualityOf, type TextWindows } from './windows.ts';

export interface EvaluateFoldedOptions extends EvaluateOptions {
  /** What keys and values are kept in. @default 'float32' */
  kvCache?: CacheType | undefined;
}

/**
 * The quality of a folded model as it is served: its own graph, quantized weights and kernels.
 * @throws UsageError for an int8 cache of a model without scales for it
 */
export async function evaluateFolded(
  graphPath: string,
  manifest: Manifest,
  { windows, targets, tokens }: TextWindows,
  options: EvaluateFoldedOptions = {},
): Promise<Quality> {
  const { vocabularySize } = manifest.dimensions;
  let total = 0;
  const decoder = new Decoder(decoderOptions(manifest, graphPath, longestOf(windows), options.kvCache));
  await withResource(decoder, async () => {
    const cached = new CachedRun(decoder, vocabularySize);
    for (const [i, window] of windows.entries()) {
      // What overlaps the window before is context alone and needs no logits.
      const counted = targets[i]!.findIndex((target) => target >= 0);
      const add = (place: number, logits: Float32Array) => {
        const target = targets[i]![counted + place]!;
        if (target >= 0) total += lossOf(logits, target);
      };
      if (counted >= 0) await cached.run(window, counted, add, options.signal);
      options.onProgress?.(i + 1, windows.length);
    }
  });
  return qualityOf(total, tokens);
}

/** -log softmax(logits)[target] */
export function lossOf(logits: Float32Array, target: number): number {
  let highest = -Infinity;
  for (const value of logits) if (value > highest) highest = value;
  let sum = 0;
  for (const value of logits) sum += Math.exp(value - highest);
  return Math.log(sum) + highest - logits[target]!;
}
