export interface Schedule {
  /** Learning rate after the warm-up. */
  peak: number;
  /** Steps in all. */
  steps: number;
  /** Steps in which the rate rises from near zero to its peak. */
  warmup: number;
  /** Share of the peak that the last step still has. */
  floor: number;
}

/**
 * Learning rate of a step, counted from 0: rises in a line to the peak, which the last step of the warm-up
 * has, then falls along half a cosine to the floor, which the last step of all has.
 */
export function learningRate({ peak, steps, warmup, floor }: Schedule, step: number): number {
  if (step < warmup) return (peak * (step + 1)) / warmup;
  const falling = steps - warmup;
  const done = falling <= 0 ? 1 : Math.min((step - warmup + 1) / falling, 1);
  return peak * (floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * done)));
}
