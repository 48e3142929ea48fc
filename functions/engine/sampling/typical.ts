import { indicesFrom } from './selection.ts';

/**
 * Locally typical sampling (arXiv 2202.00666): the tokens whose surprise is nearest to the expected one, as many
 * as it takes to reach a share of the mass, and their equals. A surprise is the logit times -1/temperature plus
 * a constant, so surprises are as far apart as logits, but for a factor.
 */
export interface Distribution {
  logits: Float32Array;
  /** Unnormalized probabilities at the temperature. */
  weights: Float32Array;
  /** Whose weight is 1. */
  highestLogit: number;
  temperature: number;
}

/** The typical ones of some tokens, whose weights alone are known. */
export function typicalOf(distribution: Distribution, tokens: number[], share: number): number[] {
  const { logits, weights, highestLogit } = distribution;
  const possible = tokens.filter((token) => weights[token]! > 0);
  let total = 0;
  let below = 0;
  for (const token of possible) {
    total += weights[token]!;
    below += weights[token]! * (highestLogit - logits[token]!);
  }
  return nearest(distribution, possible, highestLogit - below / total, share * total);
}

/** Weights are rounded to float32. */
const slack = 1e-5;

/** The typical ones of the whole vocabulary. @param total of all weights */
export function typicalOfAll(distribution: Distribution, total: number, share: number): number[] {
  const { logits, weights, highestLogit, temperature } = distribution;
  let below = 0;
  for (let i = 0; i < weights.length; i++) {
    if (weights[i]! > 0) below += weights[i]! * (highestLogit - logits[i]!);
  }
  below /= total;
  // Nobody should sort a vocabulary. Tokens below the first bound have less than 1 - share together; those
  // below the second are farther from the mean than all above it. What is below both is never reached.
  const little = ((1 - share) * total) / weights.length;
  const farther = Math.exp((-2 * below) / temperature);
  const candidates = indicesFrom(weights, Math.min(little, farther) * (1 - slack));
  return nearest(distribution, candidates, highestLogit - below, share * total);
}

function nearest({ logits, weights }: Distribution, tokens: number[], mean: number, mass: number): number[] {
  const distance = (token: number) => Math.abs(logits[token]! - mean);
  tokens.sort((a, b) => distance(a) - distance(b) || a - b);
  let sum = 0;
  let last = 0;
  for (; last < tokens.length - 1; last++) {
    sum += weights[tokens[last]!]!;
    if (sum >= mass) break;
  }
  const farthest = distance(tokens[last]!);
  while (last < tokens.length - 1 && distance(tokens[last + 1]!) === farthest) last++;
  return tokens.slice(0, last + 1);
}
