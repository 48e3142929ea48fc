import { type Distribution, nearest } from './nearest.ts';
import { indicesFrom } from './selection.ts';

/**
 * Locally typical sampling (arXiv 2202.00666): the tokens whose surprise is nearest to the expected one, as many
 * as it takes to reach a share of the mass, and their equals. A surprise is the logit times -1/temperature plus
 * a constant, so surprises are as far apart as logits, but for a factor.
 */

/** The typical ones of some tokens, whose weights alone are known and over 0. */
export function typicalOf(distribution: Distribution, tokens: readonly number[], share: number): number[] {
  const { logits } = distribution;
  const { values, highestLogit } = distribution.weights;
  let total = 0;
  let below = 0;
  for (const token of tokens) {
    total += values[token]!;
    below += values[token]! * (highestLogit - logits[token]!);
  }
  return nearest(distribution, tokens, highestLogit - below / total, share * total, { equals: true });
}

/** Weights are rounded to float32. */
const slack = 1e-5;

/** The typical ones of the whole vocabulary. */
export function typicalOfAll(distribution: Distribution, share: number): number[] {
  const { logits, temperature } = distribution;
  const { values, total, highestLogit } = distribution.weights;
  let below = 0;
  for (let i = 0; i < values.length; i++) {
    if (values[i]! > 0) below += values[i]! * (highestLogit - logits[i]!);
  }
  below /= total;
  // Tokens below the first bound have less than 1 - share together; those below the second are farther from the
  // mean than all above it. What is below both is never reached.
  const little = ((1 - share) * total) / values.length;
  const farther = Math.exp((-2 * below) / temperature);
  const candidates = indicesFrom(values, Math.min(little, farther) * (1 - slack));
  return nearest(distribution, candidates, highestLogit - below, share * total, { equals: true });
}
