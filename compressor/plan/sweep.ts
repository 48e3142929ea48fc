import { UsageError } from '../../artifact/errors.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { MeasuredFold } from '../measure-fold.ts';
import { fromStart, type PlanOptions } from './make-plan.ts';
import { multiplyAdds } from './multiply-adds.ts';
import { type FoldPlan, groupsOf } from './plan.ts';
import { contextTokens, servedBytes, sizedModel, storedBytes, type TokenizerBytes } from './served-bytes.ts';
import { foldedSizes } from './sizes.ts';
import { leastWidth, makeSizedPlan } from './widths.ts';

/** What is varied: how many layers are kept, how many neighbours of them run one block, and how wide its MLP is. */
export interface SweepGrid {
  kept: number[];
  shares: number[];
  /** Mean shares of the MLPs' width. @default [1] */
  widths?: number[];
}

/** A fold of the grid, and what it comes to before anything is read or trained. */
export interface SweepPoint {
  /** Layers whose blocks are kept. */
  kept: number;
  /** Kept neighbours that run one block. */
  share: number;
  /** Mean share of the MLPs' width that is asked for. */
  width: number;
  /** Distinct blocks. */
  blocks: number;
  /** Layers that run, those included that come back. */
  layers: number;
  /** Each distinct block counted once. */
  parameters: number;
  /** Bytes in a store. */
  stored: number;
  /** Resident bytes of a serving process with `contextTokens` of context. */
  served: number;
  /** Of one token with as much context as `contextOf` gives. */
  multiplyAdds: number;
}

/** What came out of a sweep. */
export interface Sweep {
  checkpoint: string;
  checkpointLayers: number;
  /** As for `--quantize`. */
  quantize: string;
  /** Tokens of context that memory and multiply-adds are counted with. */
  context: number;
  /** Where folds were carried out: how layers were ranked, and what perplexity was measured on. */
  measured?: { rank: string; text: string; tokens: number };
  /** The most layers first; of those with as many, the most blocks, the widest first. Plans where layers were ranked. */
  points: (SweepPoint & { measured?: MeasuredFold; plan?: FoldPlan })[];
}

/** Shares of the layers to leave out: what models bear, and somewhat beyond. */
const removedShares = [0, 0.1, 0.2, 0.3, 0.4, 0.5];
const sharedLayers = [1, 2, 3];

/**
 * The grid for a checkpoint, where nobody asks for another one.
 * @param keep as `PlanOptions` has it
 */
export function defaultGrid({ architecture }: Checkpoint, keep: readonly number[]): SweepGrid {
  const layers = architecture.layers.length;
  const least = leastKept(layers, keep);
  const kept = removedShares.map((share) => layers - Math.round(share * layers));
  const shares = sharedLayers.filter((share) => share <= layers);
  return { kept: [...new Set(kept)].filter((count) => count >= least), shares };
}

function leastKept(layers: number, keep: readonly number[]): number {
  return Math.max(1, new Set(fromStart(keep, layers)).size);
}

/** One place of the grid. */
export interface SweepCell {
  kept: number;
  share: number;
  width: number;
  options: PlanOptions;
}

/**
 * The places of a grid, the most layers first, and the plan each stands for: distinct blocks, how often they are
 * repeated, and how wide they are inside are the three axes of a model's size (after Conv-TasNet's, arXiv 2303.03005).
 * @param options everything but what the grid says
 * @throws UsageError for a grid with a place outside of the checkpoint
 */
export function sweepCells(
  { name, architecture }: Checkpoint,
  grid: SweepGrid,
  options: Omit<PlanOptions, 'remove' | 'share' | 'width' | 'shrink'>,
): SweepCell[] {
  const layers = architecture.layers.length;
  const least = leastKept(layers, options.keep);
  const outside = grid.kept.find((count) => !(Number.isInteger(count) && count >= least && count <= layers));
  if (outside !== undefined) {
    throw new UsageError(
      `A sweep keeps ${least} (those of --keep) to ${layers} layers (all of ${name}), not ${outside}.`,
    );
  }
  const narrowest = leastWidth(architecture.intermediateSize) / architecture.intermediateSize;
  const noWidth = grid.widths?.find((width) => !(width >= narrowest && width <= 1));
  if (noWidth !== undefined) {
    throw new UsageError(
      `A sweep keeps ${narrowest.toFixed(3)} to 1 of the MLPs' width of ${name}, not ${noWidth}.`,
    );
  }
  const kept = [...new Set(grid.kept)].sort((a, b) => b - a);
  const shares = [...new Set(grid.shares)].sort((a, b) => a - b);
  const widths = [...new Set(grid.widths ?? [1])].sort((a, b) => b - a);
  return kept.flatMap((count) =>
    shares.flatMap((share) =>
      widths.map((width): SweepCell => {
        const sized = { remove: (layers - count) / layers, share, width, shrink: 'depth' as const };
        return { kept: count, share, width, options: { ...options, ...sized } };
      }),
    ),
  );
}

/** The plan of a cell where it does not matter which layers go: for what depends on their number alone. */
export function anyPlan(checkpoint: Checkpoint, { options }: SweepCell): FoldPlan {
  const { layers } = checkpoint.architecture;
  // In the order of depth they go as one run, with one patch at most; those that stay are as wide as each other.
  const scores = layers.map((_, layer) => layer);
  const alike = layers.map(() => 0);
  return makeSizedPlan(checkpoint, { method: 'none', scores }, options, alike);
}

/** What a plan comes to. @param tokenizer bytes of its files */
export function sweepPoint(
  checkpoint: Checkpoint,
  { kept, share, width }: Pick<SweepCell, 'kept' | 'share' | 'width'>,
  plan: FoldPlan,
  tokenizer: TokenizerBytes,
): SweepPoint {
  const { architecture } = checkpoint;
  const sized = sizedModel(checkpoint, plan, tokenizer);
  return {
    kept,
    share,
    width,
    blocks: groupsOf(plan).length,
    layers: plan.layers.length,
    parameters: foldedSizes(architecture, plan, sized.precision, sized.budget).folded,
    stored: storedBytes(sized),
    served: servedBytes(sized),
    multiplyAdds: multiplyAdds(architecture, plan, contextOf(checkpoint)),
  };
}

/** Tokens of context that a sweep counts with. */
export function contextOf({ architecture }: Pick<Checkpoint, 'architecture'>): number {
  return Math.min(contextTokens, architecture.contextLength);
}
