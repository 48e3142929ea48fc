import { UsageError } from '../errors.ts';
import type { Manifest } from '../manifest.ts';

/** What prompts may be read with: the weights that make the answers, or others in int8, quicker over many tokens. */
export const promptWeightTypes = ['same', 'int8'] as const;
export type PromptWeightType = (typeof promptWeightTypes)[number];

/** What they are to be read with; `auto`: the others where the model has them. */
export const promptWeightChoices = ['auto', ...promptWeightTypes] as const;
export type PromptWeights = (typeof promptWeightChoices)[number];

/**
 * The model as it is to run: without the weights for prompts where they are not wanted, so that nobody fetches, counts
 * or opens them.
 * @throws UsageError where they are asked for and the model has none
 */
export function withPromptWeights(manifest: Manifest, choice: PromptWeights = 'auto'): Manifest {
  const { promptWeights, ...others } = manifest;
  if (choice === 'same') return others;
  if (promptWeights || choice === 'auto') return manifest;
  throw new UsageError(
    `${manifest.name} has no int8 weights for prompts: it was folded without. Fold it again (foldgate fold ` +
      '--prompt-weights int8), or leave --prompt-weights at auto.',
  );
}
