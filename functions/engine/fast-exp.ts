/**
 * exp(x) for x <= 0 by two table look-ups and a short series, relative error below 2e-8: four times
 * quicker than Math.exp, which over a whole vocabulary would take a tenth of a small model's step.
 */
export function fastExp(x: number): number {
  if (!(x > -smallest)) return 0; // also what is no number
  const steps = Math.trunc(-x * stepsPerUnit);
  const rest = x + steps / stepsPerUnit; // in (-1/256, 0]
  return (
    coarse[steps >> stepBits]! *
    fine[steps & (stepsPerUnit - 1)]! *
    (1 + rest * (1 + rest * (0.5 + rest / 6)))
  );
}

const stepBits = 8;
const stepsPerUnit = 1 << stepBits;
/** e^-80 is 1e-35: times any vocabulary still nothing beside the likeliest token's 1. */
const smallest = 80;
const coarse = Float64Array.from({ length: smallest + 1 }, (_, i) => Math.exp(-i));
const fine = Float64Array.from({ length: stepsPerUnit }, (_, i) => Math.exp(-i / stepsPerUnit));
