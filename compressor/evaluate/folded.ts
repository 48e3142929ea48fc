import { Decoder, decoderOptions } from '../../artifact/decoder/decoder.ts';
import type { Manifest } from '../../artifact/manifest.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import type { EvaluateOptions } from './student.ts';
import { longestOf, type Quality, qualityOf, type TextWindows } from './windows.ts';

/** Logits in memory at a time, in numbers: 64 MB. */
const maxLogits = 16 * 2 ** 20;

/** The quality of a folded model as it is served: its own graph, quantized weights and kernels. */
export async function evaluateFolded(
  graphPath: string,
  manifest: Manifest,
  { windows, targets, tokens }: TextWindows,
  options: EvaluateOptions = {},
): Promise<Quality> {
  const longest = longestOf(windows);
  const decoder = new Decoder(decoderOptions(manifest, graphPath, longest));
  const { vocabularySize } = manifest.dimensions;
  const step = Math.max(1, Math.floor(maxLogits / vocabularySize));
  let total = 0;
  try {
    const cache = decoder.newCache();
    for (const [i, window] of windows.entries()) {
      cache.length = 0;
      for (let start = 0; start < window.length; start += step) {
        await betweenSteps(options.signal);
        const part = window.subarray(start, start + step);
        const logits = decoder.runAll(cache, part);
        part.forEach((_, t) => {
          const target = targets[i]![start + t]!;
          if (target >= 0)
            total += loss(logits.subarray(t * vocabularySize, (t + 1) * vocabularySize), target);
        });
      }
      options.onProgress?.(i + 1, windows.length);
    }
  } finally {
    decoder[Symbol.dispose]();
  }
  return qualityOf(total, tokens);
}

/** -log softmax(logits)[target] */
function loss(logits: Float32Array, target: number): number {
  let highest = -Infinity;
  for (const value of logits) if (value > highest) highest = value;
  let sum = 0;
  for (const value of logits) sum += Math.exp(value - highest);
  return Math.log(sum) + highest - logits[target]!;
}
