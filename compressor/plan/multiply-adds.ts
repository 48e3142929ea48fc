import { runsAttention } from '../../artifact/manifest.ts';
import { type AdaptedPlan, runAdaptersParameters } from '../adapter/adapted-layers.ts';
import { type Architecture, architectureOfBlock } from '../checkpoint/architecture.ts';
import { matricesOf } from '../graph/halves.ts';
import { matrixShape } from '../graph/layer.ts';
import { patchedLayers } from '../patch/cuts.ts';
import type { FoldPlan } from './plan.ts';

/**
 * Multiply-adds that decoding one token takes: of every layer that runs, whoever else runs its block, of its
 * attention over so many positions, and of patches, adapters and head. Norms and activations are left out.
 * @param positions tokens that the token sees, itself included; layers with a window see no more than that
 */
export function multiplyAdds(
  a: Architecture,
  plan: AdaptedPlan & Pick<FoldPlan, 'patch' | 'widths'>,
  positions: number,
): number {
  const blocks = plan.layers.reduce((sum, { half, block }) => {
    const ofBlock = architectureOfBlock(a, plan.widths, block);
    const shapes = matricesOf(half).map((matrix) => matrixShape(ofBlock, matrix));
    return shapes.reduce((total, [outputs, inputs]) => total + outputs * inputs, sum);
  }, 0);
  const attention = plan.layers.filter(runsAttention).reduce((sum, { source }) => {
    const seen = Math.min(positions, a.layers[source]!.window ?? positions);
    return sum + 2 * seen * a.heads * a.headSize; // scores, and the mean of the values
  }, 0);
  const patches = patchedLayers(plan, a.layers.length).length * a.width * a.width;
  const head = a.vocabularySize * a.width;
  return blocks + attention + patches + runAdaptersParameters(a, plan) + head;
}
