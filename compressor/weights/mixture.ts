import { type FoldPlan, groupsOf, type SharedWeights } from '../plan/plan.ts';

/** A group's weights: the layers they are taken from, each with its share of the sum. */
export type Mixture = { layer: number; factor: number }[];

/**
 * What a group of layers runs. Neighbouring layers' weights are nearly uncorrelated in trained models, so
 * a mean shrinks them; it is a start for folds that add per-layer residuals.
 * @param group source layers in depth order
 * @param scores importance per layer of the checkpoint, for `weighted`
 */
export function mixtureOf(group: number[], weights: SharedWeights, scores?: number[]): Mixture {
  const one = (layer: number) => [{ layer, factor: 1 }];
  switch (weights) {
    case 'first':
      return one(group[0]!);
    case 'middle':
      return one(group[Math.floor((group.length - 1) / 2)]!);
    case 'last':
      return one(group.at(-1)!);
    case 'mean':
      return group.map((layer) => ({ layer, factor: 1 / group.length }));
    case 'weighted': {
      const importance = group.map((layer) => Math.max(scores?.[layer] ?? 1, 0));
      const total = importance.reduce((sum, value) => sum + value, 0);
      if (total === 0) return mixtureOf(group, 'mean');
      return group.map((layer, i) => ({ layer, factor: importance[i]! / total }));
    }
  }
}

/** By block. Layers that come back with another's block have no say in its weights. */
export function mixturesOf({
  layers,
  weights,
  scores,
}: Pick<FoldPlan, 'layers' | 'weights' | 'scores'>): Mixture[] {
  const owners = layers.filter(({ refill }) => !refill);
  return groupsOf({ layers: owners }).map((group) => mixtureOf(group, weights, scores));
}

/** Sums the layers' weights by their factors, holding two layers' at a time. */
export async function mix(
  mixture: Mixture,
  read: (layer: number) => Promise<Float32Array>,
): Promise<Float32Array> {
  const [first, ...others] = mixture;
  const sum = await read(first!.layer);
  if (first!.factor !== 1) for (let i = 0; i < sum.length; i++) sum[i]! *= first!.factor;
  for (const { layer, factor } of others) {
    const weights = await read(layer);
    for (let i = 0; i < sum.length; i++) sum[i]! += weights[i]! * factor;
  }
  return sum;
}
