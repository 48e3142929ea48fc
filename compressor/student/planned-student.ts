import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { halfOfBlock } from '../graph/halves.ts';
import type { FoldPlan } from '../plan/plan.ts';
import { readBlock, readMatrix, readNorms, readQkvBias } from '../weights/block.ts';
import { mixturesOf } from '../weights/mixture.ts';
import type { Student } from './student.ts';

/** What a student needs of a plan. */
export type LayerPlan = Pick<FoldPlan, 'layers' | 'weights' | 'scores'>;

/** The plan that folds nothing. */
export function identityPlan(layers: number): LayerPlan {
  return { layers: Array.from({ length: layers }, (_, i) => ({ source: i, block: i })), weights: 'first' };
}

/** A checkpoint folded by a plan, untrained: blocks are the checkpoint's own or mixed of several. */
export function plannedStudent(checkpoint: Checkpoint, plan: LayerPlan): Student {
  const mixtures = mixturesOf(plan);
  return {
    architecture: checkpoint.architecture,
    layers: plan.layers,
    tensor: (role) => checkpoint.tensor(role),
    block: (block) => readBlock(checkpoint, mixtures[block]!, halfOfBlock(plan.layers, block)),
    matrix: (block, matrix) => readMatrix(checkpoint, mixtures[block]!, matrix),
    qkvBias: async (block) =>
      halfOfBlock(plan.layers, block) === 'mlp' ? undefined : readQkvBias(checkpoint, mixtures[block]!),
    own: (index) => readNorms(checkpoint, plan.layers[index]!.source, plan.layers[index]!.half),
    patch: async () => undefined,
    unchanged(block) {
      const [only, ...others] = mixtures[block]!;
      return others.length === 0 && only!.factor === 1 ? only!.layer : undefined;
    },
  };
}

/** The checkpoint itself. */
export function unfolded(checkpoint: Checkpoint): Student {
  return plannedStudent(checkpoint, identityPlan(checkpoint.architecture.layers.length));
}
