import type { VocabularyWeights } from './vocabulary-weights.ts';

/** A step's distribution at the temperature. */
export interface Distribution {
  logits: Float32Array;
  /** Of the same logits. */
  weights: Pick<VocabularyWeights, 'values' | 'total' | 'highestLogit'>;
  temperature: number;
}

/** Tokens are told apart by so many steps of distance first, and those of one step exactly. */
const steps = 4096;
/** The mass at each step; one sampler is at work at a time. */
const masses = new Float64Array(steps);

/**
 * The tokens whose logits are nearest to one, as many as it takes to reach a mass, and at least one; of equally near
 * ones the lower first. They come in no order: at high temperatures they are most of a vocabulary, and sorting
 * that takes longer than a step of the model.
 * @param tokens with weights over 0, at least one
 * @param mass in units of weights
 * @param options.equals those as far away as the last one come too. @default false
 */
export function nearest(
  { logits, weights: { values } }: Distribution,
  tokens: readonly number[],
  logit: number,
  mass: number,
  { equals = false } = {},
): number[] {
  const distance = (token: number) => Math.abs(logits[token]! - logit);
  let farthest = 0;
  for (const token of tokens) farthest = Math.max(farthest, distance(token));
  const scale = farthest > 0 ? (steps - 1) / farthest : 0;
  const stepOf = (token: number) => Math.floor(distance(token) * scale);

  masses.fill(0);
  for (const token of tokens) masses[stepOf(token)]! += values[token]!;
  let sum = 0;
  let edge = 0;
  while (edge < steps - 1 && (masses[edge] === 0 || sum + masses[edge]! < mass)) sum += masses[edge++]!;

  const kept = tokens.filter((token) => stepOf(token) < edge);
  const atEdge = tokens.filter((token) => stepOf(token) === edge);
  atEdge.sort((a, b) => distance(a) - distance(b) || a - b);
  let taken = 0;
  while (taken < atEdge.length && (sum < mass || taken + kept.length === 0)) {
    sum += values[atEdge[taken++]!]!;
  }
  if (equals && taken > 0) {
    const reach = distance(atEdge[taken - 1]!);
    while (taken < atEdge.length && distance(atEdge[taken]!) === reach) taken++;
  }
  return kept.concat(atEdge.slice(0, taken));
}
