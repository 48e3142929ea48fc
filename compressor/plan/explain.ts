import type { Half } from '../../artifact/manifest.ts';
import { adaptedLayers } from '../adapter/adapted-layers.ts';
import { fittedLayers, patchedLayers } from '../patch/cuts.ts';
import { mixturesOf } from '../weights/mixture.ts';
import type { FoldPlan } from './plan.ts';

/** What becomes of one layer of the checkpoint, and why. */
export interface LayerReason {
  layer: number;
  /**
   * `own`: runs its own block; `shared`: another layer's or a mixed one; `refilled`: was removed, and comes back
   * with another's; `removed`.
   */
  fate: 'own' | 'shared' | 'refilled' | 'removed';
  /** The block it runs, and the layers whose weights that is. */
  block?: number;
  weightsOf?: number[];
  /** The half of the block that it runs alone. */
  half?: Half;
  /** Length of its block's MLP activations, where the plan says so. */
  width?: number;
  /** Whether gains or low-rank matrices of its own are added to it. */
  adapted: boolean;
  /** Whether a linear patch stands behind it, in the place of the layers after it. */
  patched: boolean;
  /** Whether it is trained to do what it and the layers removed after it did. */
  fitted: boolean;
  /** By the plan's method: the higher, the more it matters. */
  score?: number;
  /** Of each half, where they were ranked apart; `score` is the higher then. */
  halfScores?: Record<Half, number>;
  /** Its place among all layers, 1 for the one that matters least. */
  rank?: number;
  /** Kept although layers that matter more are removed: it was not among those that might go. */
  spared: boolean;
}

/** Why each layer of the checkpoint is kept, shared or removed, as far as the plan tells. */
export function explainPlan(plan: FoldPlan): LayerReason[] {
  const { scores, halfScores, layers, checkpointLayers } = plan;
  const mixtures = mixturesOf(plan);
  const adapted = new Set(adaptedLayers(plan));
  const patched = new Set(patchedLayers(plan, checkpointLayers));
  const fitted = new Set(fittedLayers(plan));
  const indexOf = new Map(layers.map(({ source }, index) => [source, index]));
  const all = [...Array(checkpointLayers).keys()];
  const ranks = scores && ranksOf(scores);
  const goes = (layer: number) => {
    const index = indexOf.get(layer);
    return index === undefined || layers[index]!.refill === true;
  };
  const highestRank = Math.max(0, ...all.filter(goes).map((layer) => ranks?.[layer] ?? 0));
  return all.map((layer): LayerReason => {
    const index = indexOf.get(layer);
    const planned = index === undefined ? undefined : layers[index]!;
    const weightsOf = planned && mixtures[planned.block]!.map((part) => part.layer);
    const isOwn = weightsOf?.length === 1 && weightsOf[0] === layer;
    const kept = isOwn ? 'own' : 'shared';
    return {
      layer,
      fate: !planned ? 'removed' : planned.refill ? 'refilled' : kept,
      ...(planned && { block: planned.block, weightsOf: weightsOf! }),
      ...(planned?.half && { half: planned.half }),
      ...(planned && plan.widths && { width: plan.widths[planned.block]! }),
      adapted: index !== undefined && adapted.has(index),
      patched: index !== undefined && patched.has(index),
      fitted: index !== undefined && fitted.has(index),
      ...(scores && { score: scores[layer]!, rank: ranks![layer]! }),
      ...(halfScores && {
        halfScores: { attention: halfScores.attention[layer]!, mlp: halfScores.mlp[layer]! },
      }),
      spared: !goes(layer) && ranks !== undefined && ranks[layer]! < highestRank,
    };
  });
}

/** 1 for the lowest score; of equal ones the first layer goes first. */
function ranksOf(scores: readonly number[]): number[] {
  const order = [...scores.keys()].sort((a, b) => scores[a]! - scores[b]! || a - b);
  const ranks = new Array<number>(scores.length);
  for (const [place, layer] of order.entries()) ranks[layer] = place + 1;
  return ranks;
}
