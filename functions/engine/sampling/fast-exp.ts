/**
 * exp(x) for x <= 0 by a table look-up and a short series, relative error below 2e-8: five times quicker than
 * Math.exp, which over a whole vocabulary would take a tenth of a small model's step.
 */
export function fastExp(x: number): number {
  if (!(x > -smallest)) return 0; // also what is no number
  const position = -x * stepsPerUnit;
  const step = position | 0;
  const rest = (step - position) * (1 / stepsPerUnit); // in (-1/256, 0]
  return steps[step]! * (1 + rest * (1 + rest * 0.5));
}

const stepsPerUnit = 256;
/** e^-80 is 1e-35: times any vocabulary still nothing beside the likeliest token's 1. */
const smallest = 80;
/** 160 KB; the part that most of a vocabulary falls into is a quarter of that. */
const steps = Float64Array.from({ length: smallest * stepsPerUnit }, (_, i) => Math.exp(-i / stepsPerUnit));
