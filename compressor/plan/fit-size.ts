import { UsageError } from '../../artifact/errors.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { fromStart, type PlanOptions } from './make-plan.ts';
import { servedBytes, sizedModel, storedBytes, type TokenizerBytes } from './served-bytes.ts';
import { canNarrow, granuleOf, largestSaving, layersToRemove, makeSizedPlan } from './widths.ts';

/** What a fold is to stay below. */
export type SizeTarget = { stored: number } | { served: number };

/**
 * Quantizations to choose from, each with what it costs in nats a token: measured on SmolLM2-135M, where
 * the smallest models suffer most. (int8 costs nothing; the int4 forms are calibrated.)
 */
const forms: readonly (readonly [quantize: string, cost: number])[] = [
  ['int8', 0],
  ['auto:5', 0.08],
  ['int4', 0.15],
  ['int4,embedding=int4', 0.3],
];

/** Nats a token that removing all layers would cost if the first ones set the pace: 0.34 for a fifth, patched. */
const removalCost = 1.7;

export interface FittedSize {
  remove: number;
  quantize: string;
  bytes: number;
}

/**
 * The choice of quantization and removed layers that fits a target at the least expected cost. The costs
 * are those of one small model: they decide in which order to give things up, and promise nothing.
 * @param options everything but what is chosen; `quantize` is kept where `fixed`
 * @throws UsageError where nothing is small enough, with the least there is
 */
export function fitSize(
  checkpoint: Checkpoint,
  target: SizeTarget,
  tokenizer: TokenizerBytes,
  options: PlanOptions,
  fixed: boolean,
): FittedSize {
  const { name, architecture } = checkpoint;
  const layers = architecture.layers.length;
  // Widths are spread so that one block keeps its own: the scratch memory is that of the widest.
  const importance = architecture.layers.map((_, layer) => (layer === 0 ? Number.MAX_VALUE : 0));
  const limit = 'stored' in target ? target.stored : target.served;
  let best: (FittedSize & { cost: number }) | undefined;
  let least: FittedSize | undefined;
  for (const [quantize, quantizeCost] of fixed ? [[options.quantize, 0] as const] : forms) {
    for (const remove of removals(checkpoint, options)) {
      // Which layers go does not change the size, but how often the depth is cut does: one run is the least.
      const scores = architecture.layers.map((_, layer) => layer);
      const asked = { ...options, quantize, remove };
      const plan = makeSizedPlan(checkpoint, { method: 'size', scores }, asked, importance);
      const sized = sizedModel(checkpoint, plan, tokenizer);
      const bytes = 'stored' in target ? storedBytes(sized) : servedBytes(sized);
      const fitted = { remove, quantize, bytes };
      if (!least || bytes < least.bytes) least = fitted;
      if (bytes > limit) continue;
      const cost = quantizeCost + removalCost * remove;
      if (!best || cost < best.cost) best = { ...fitted, cost };
      break; // further removals cost more
    }
  }
  if (best) return best;
  throw new UsageError(
    `${name} cannot be brought to ${megabytes(limit)}: the least is ${megabytes(least!.bytes)}, with ` +
      `--quantize ${least!.quantize} and ${removedInWords(least!.remove, layers, options)}. ` +
      'Share blocks with --share, allow more, or take a smaller model.',
  );
}

/** Values of `remove` to try, ascending: layer by layer, or a granule of one block's width after the other. */
function removals({ architecture }: Checkpoint, { keep, shrink }: PlanOptions): number[] {
  const layers = architecture.layers.length;
  const removable = layers - new Set(fromStart(keep, layers)).size;
  if (shrink !== 'width') {
    const counts = Array.from({ length: Math.min(removable, layers - 1) + 1 }, (_, count) => count / layers);
    return shrink === 'both'
      ? counts.filter((remove) => canNarrow(architecture, { remove, shrink }))
      : counts;
  }
  const most = largestSaving(architecture);
  const { intermediateSize } = architecture;
  const steps = Math.ceil((layers * intermediateSize) / granuleOf(intermediateSize));
  return Array.from({ length: steps + 1 }, (_, step) => (most * step) / steps);
}

function removedInWords(remove: number, layers: number, { shrink = 'depth' }: PlanOptions): string {
  const removed = `${layersToRemove({ remove, shrink }, layers)} of ${layers} layers removed`;
  if (shrink === 'both') return `${removed}, the rest of ${(100 * remove).toFixed(1)}% off MLPs`;
  return shrink === 'width'
    ? `MLPs narrower by ${(100 * remove).toFixed(1)}% of the blocks' parameters`
    : removed;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
