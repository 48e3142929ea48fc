/** A step's distribution at the temperature. */
export interface Distribution {
  logits: Float32Array;
  /** Unnormalized probabilities. */
  weights: Float32Array;
  /** Whose weight is 1. */
  highestLogit: number;
  temperature: number;
}

/** Distances are told apart by so many steps first, and exactly in one of them alone. */
const steps = 4096;
/** The mass at each step. There is one sampler at work at a time. */
const masses = new Float64Array(steps);

/**
 * The tokens whose logits are nearest to one, as many as it takes to reach a mass, at least one. Of equally near ones
 * the lower goes first. They come in no order: at high temperatures most of a vocabulary is asked for, and sorting
 * that takes longer than a step of the model.
 * @param tokens any with weights, at least one
 * @param mass in units of weights
 * @param options.equals all that are as far away as the last one come too
 */
export function nearest(
  { logits, weights }: Distribution,
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
  for (const token of tokens) masses[stepOf(token)]! += weights[token]!;
  let nearer = 0;
  let last = 0;
  while (last < steps - 1 && nearer + masses[last]! < mass) nearer += masses[last++]!;

  const kept: number[] = [];
  const edge: number[] = [];
  let count = 0;
  for (const token of tokens) {
    const step = stepOf(token);
    if (step < last) kept[count++] = token;
    else if (step === last) edge.push(token);
  }
  edge.sort((a, b) => distance(a) - distance(b) || a - b);
  let taken = 0;
  while (taken < edge.length && (count + taken === 0 || nearer < mass)) nearer += weights[edge[taken++]!]!;
  const reach = taken > 0 ? distance(edge[taken - 1]!) : 0;
  while (equals && taken < edge.length && distance(edge[taken]!) === reach) taken++;
  return kept.concat(edge.slice(0, taken));
}
