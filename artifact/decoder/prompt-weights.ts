import { UsageError } from '../errors.ts';
import type { Manifest } from '../manifest.ts';

/** What prompts are read with: the weights that make the answers, or others in int8, quicker over many tokens. */
export const promptWeightTypes = ['same', 'int8'] as const;
export type PromptWeights = (typeof promptWeightTypes)[number];

/**
 * The model as it is to run: without the weights for prompts where they are not asked for, so that nobody fetches, counts
 * or opens them.
 * @throws UsageError where they are asked for and the model has none
 */
export function withPromptWeights(manifest: Manifest, type: PromptWeights = 'same'): Manifest {
  const { promptWeights, ...others } = manifest;
  if (type === 'same') return others;
  if (promptWeights) return manifest;
  throw new UsageError(
    `${manifest.name} has no int8 weights for prompts: it was folded without. Fold it again (foldgate fold ` +
      '--prompt-weights int8), or leave --prompt-weights at same.',
  );
}
