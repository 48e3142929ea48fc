import type { Rotary } from '../checkpoint/architecture.ts';

/**
 * Positions of the stored tables. A model made for millions of tokens would carry hundreds of megabytes of
 * cosines; a KV cache of this length is beyond what one machine's memory gives.
 */
export function storedPositions(contextLength: number): number {
  return Math.min(contextLength, 32_768);
}

/** cos and sin of every position's angles, row-major [positions, headSize / 2]. */
export function rotaryTables(rotary: Rotary, positions: number): { cos: Float32Array; sin: Float32Array } {
  const pairs = rotary.inverseFrequencies.length;
  const cos = new Float32Array(positions * pairs);
  const sin = new Float32Array(positions * pairs);
  for (let position = 0; position < positions; position++) {
    for (let pair = 0; pair < pairs; pair++) {
      // Rounded to float32 first, as the reference implementations compute the angle.
      const angle = Math.fround(position * Math.fround(rotary.inverseFrequencies[pair]!));
      cos[position * pairs + pair] = Math.cos(angle) * rotary.magnitude;
      sin[position * pairs + pair] = Math.sin(angle) * rotary.magnitude;
    }
  }
  return { cos, sin };
}
