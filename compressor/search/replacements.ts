import type { EvaluateOptions } from '../evaluate/student.ts';

/** What is to be measured. */
export interface ReplacementRequest extends EvaluateOptions {
  /** Layers that may give up their block. */
  removable: ReadonlySet<number>;
  /** Layers of the longest run to be removed; 0 for none. */
  longest: number;
  /** Whether a linear map stands in for a run of removed layers, where a layer is before it. */
  patched: boolean;
  /** A layer may run the block of one of so many `owners` before it. */
  reach: number;
  /** The layers whose blocks others may run. @default all */
  owners?: ReadonlySet<number>;
  /** Ranks of the low-rank matrices that it may have beside that block; 0 for none. */
  ranks: readonly number[];
  /** Windows that patches are fitted on: the first so many. */
  fitted: number;
  /** What is measured is measured on the windows from this one on. */
  held: number;
  /** Whether each replacement's harm is its error where it stands, or the rise of the model's loss. */
  cost: ReplacementCost;
}

/**
 * `error`: how far what a replacement puts out is from the checkpoint's states there, see `relativeError`; `loss`: by how
 * many nats a token the loss rises with that replacement alone, which takes the way through all layers behind it.
 */
export const replacementCosts = ['error', 'loss'] as const;
export type ReplacementCost = (typeof replacementCosts)[number];

/** What may take the place of layers `from` to `to - 1`: see `Candidate`. */
export type Replacement =
  | { fate: 'removed'; from: number; to: number }
  | { fate: 'shared'; from: number; to: number; owner: number; rank: number };

/** With what it harms. */
export type MeasuredReplacement = Replacement & { cost: number };

/** All that a request comes to, by the last layer they replace: known before anything is read. */
export function replacementsOf(layers: number, request: ReplacementRequest): Replacement[] {
  return Array.from({ length: layers }, (_, layer) => replacementsUpTo(layer, request)).flat();
}

/** Those whose last layer it is. */
export function replacementsUpTo(
  layer: number,
  { removable, longest, reach, owners, ranks }: ReplacementRequest,
): Replacement[] {
  if (!removable.has(layer)) return [];
  const to = layer + 1;
  const found: Replacement[] = [];
  for (let from = layer; from > layer - longest && removable.has(from); from--)
    found.push({ fate: 'removed', from, to });
  const before = [...Array(layer).keys()].filter((owner) => owners?.has(owner) ?? true);
  for (const owner of before.slice(-reach).reverse())
    for (const rank of ranks) found.push({ fate: 'shared', from: layer, to, owner, rank });
  return found;
}
