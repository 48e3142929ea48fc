import type { HeadRunner } from '../forward/head-runner.ts';

/**
 * Mean losses in nats a token of several models over the same windows.
 * @param models by model, per window: states after the last layer
 * @param targets per window: the token that follows each position, -1 where none counts
 */
export async function meanLosses(
  head: HeadRunner,
  models: readonly Float32Array[][],
  targets: Int32Array[],
  signal: AbortSignal | undefined,
): Promise<number[]> {
  const losses = await head.losses(
    models.flat(),
    models.flatMap(() => targets),
    signal,
  );
  const tokens = targets.reduce((sum, target) => sum + target.filter((id) => id >= 0).length, 0);
  return models.map((_, i) => {
    const own = losses.slice(i * targets.length, (i + 1) * targets.length);
    return own.reduce((sum, window) => sum + window.reduce((a, b) => a + b, 0), 0) / tokens;
  });
}
