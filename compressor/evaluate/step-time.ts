import { Decoder } from '../../artifact/decoder/decoder.ts';
import { decoderOptions } from '../../artifact/decoder/decoder-options.ts';
import { withResource } from '../../artifact/dispose.ts';
import type { Manifest } from '../../artifact/manifest.ts';
import { betweenSteps } from '../forward/between-steps.ts';

/** Tokens in the cache before the first step, steps that warm caches and threads up, and those that count. */
const [promptTokens, warmingSteps, timedSteps] = [32, 8, 32];

/**
 * Milliseconds that a stored model takes to decode a token, on all cores: the median of 32 steps.
 * @param graph path of its graph, its blobs beside it
 * @param text tokens that are repeated as often as needed
 */
export async function stepTime(
  graph: string,
  manifest: Manifest,
  text: Int32Array,
  signal: AbortSignal | undefined,
): Promise<number> {
  const tokens = Array.from(
    { length: promptTokens + warmingSteps + timedSteps },
    (_, i) => text[i % text.length]!,
  );
  return withResource(new Decoder(decoderOptions(manifest, graph, tokens.length)), async (decoder) => {
    const cache = decoder.newCache();
    decoder.run(cache, tokens.slice(0, promptTokens));
    const times: number[] = [];
    for (const token of tokens.slice(promptTokens)) {
      await betweenSteps(signal);
      const start = performance.now();
      decoder.run(cache, [token]);
      times.push(performance.now() - start);
    }
    const sorted = times.slice(warmingSteps).sort((a, b) => a - b);
    return (sorted[timedSteps / 2 - 1]! + sorted[timedSteps / 2]!) / 2;
  });
}
