import { UsageError } from '../../artifact/errors.ts';
import { type Architecture, storedArchitecture } from '../checkpoint/architecture.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { halfOfBlock } from '../graph/halves.ts';
import type { Ranking } from '../rank/ranker.ts';
import { blockParameters } from '../weights/block.ts';
import { makePlan, type PlanOptions } from './make-plan.ts';
import { type FoldPlan, groupsOf, leastGranule } from './plan.ts';

/** What is removed from a model: whole layers, width of all its MLPs, or some of both. */
export const shrinks = ['depth', 'width', 'both'] as const;
export type Shrink = (typeof shrinks)[number];

/** Of what goes under `both`, the share that whole layers give. */
const depthShare = 1 / 3;

/** How unequal importance makes widths: see `allocateSparsity`. */
export const usualSpread = 0.1;

/** Of an MLP's width, at least so much stays: what importance says of layers is too little to remove one by it. */
const leastShare = 0.125;

/** Of the granules that divide the whole, the largest of which it has so many: a coarser one would not meet sizes. */
const granules = { sizes: [128, 64, leastGranule], least: 6 };

/**
 * Widths that MLPs are narrowed to are multiples of this: MatMulNBits pads its inputs to whole blocks of weights, 128
 * where the matrix is wide, so other widths would cost the next one's time and bytes.
 */
export function granuleOf(intermediateSize: number): number {
  const { sizes, least } = granules;
  return (
    sizes.find((size) => intermediateSize % size === 0 && intermediateSize >= size * least) ?? leastGranule
  );
}

/** The narrowest that an MLP is made. */
export function leastWidth(intermediateSize: number): number {
  const granule = granuleOf(intermediateSize);
  return Math.min(
    intermediateSize,
    Math.max(1, Math.ceil((leastShare * intermediateSize) / granule)) * granule,
  );
}

/** The same as a share of the whole. */
function leastWidthShare({ intermediateSize }: Architecture): number {
  return leastWidth(intermediateSize) / intermediateSize;
}

/** Share of a block's parameters that are its MLP's. */
function mlpShare(a: Architecture): number {
  return blockParameters(a, 'mlp') / blockParameters(storedArchitecture(a));
}

type Removal = Pick<PlanOptions, 'remove' | 'shrink'>;

/** How many layers a fold removes. */
export function layersToRemove({ remove, shrink = 'depth' }: Removal, layers: number): number {
  return Math.round(remove * layers * { depth: 1, width: 0, both: depthShare }[shrink]);
}

/** Share of its MLPs' width that a fold keeps, where they give what `remove` takes beyond layers. */
function widthLeft(a: Architecture, removal: Removal): number {
  const { length } = a.layers;
  const kept = 1 - layersToRemove(removal, length) / length;
  return 1 - (1 - (1 - removal.remove) / kept) / mlpShare(a);
}

/** Whether MLPs can give their part of what `remove` takes. */
export function canNarrow(a: Architecture, removal: Removal): boolean {
  return removal.remove >= 0 && widthLeft(a, removal) >= leastWidthShare(a) - 1e-9;
}

/** The largest share of the blocks' parameters that narrowing their MLPs can save. */
export function largestSaving(a: Architecture): number {
  return mlpShare(a) * (1 - leastWidthShare(a));
}

/**
 * Mean share of the MLPs' width that a fold keeps: `width`, or where MLPs give what `remove` takes, what is left then.
 * @throws UsageError for a share that is none, or more than the MLPs can give
 */
export function widthShare(a: Architecture, { remove, width = 1, shrink = 'depth' }: PlanOptions): number {
  if (shrink === 'depth') {
    const least = leastWidthShare(a);
    if (width >= least && width <= 1) return width;
    throw new UsageError(
      `--width takes the mean share of the MLPs' width to keep, ${least.toFixed(3)} to 1, not ${width}.`,
    );
  }
  if (width !== 1)
    throw new UsageError(
      `--shrink ${shrink} finds the width that --remove comes to: leave out --width or --shrink.`,
    );
  if (canNarrow(a, { remove, shrink })) return Math.min(1, widthLeft(a, { remove, shrink }));
  if (shrink === 'both') {
    throw new UsageError(
      `With --shrink both, layers give a third of what --remove takes and MLPs the rest: ${remove} is no share that they can ` +
        'give. Remove less, or layers alone, with --shrink depth.',
    );
  }
  const most = largestSaving(a);
  throw new UsageError(
    `With --shrink width, MLPs give what --remove takes: 0 to ${most.toFixed(3)} of the blocks' parameters here, ` +
      `not ${remove}. Remove layers too: --width beside --remove, with --shrink depth.`,
  );
}

/**
 * A plan of the depth and the widths that the options ask for.
 * @param importance of layers, for the widths. @default what the ranking says of it, or its scores, and all alike where
 * it has none
 * @throws UsageError as `makePlan` and `widthShare`
 */
export function makeSizedPlan(
  { name, architecture }: Pick<Checkpoint, 'name' | 'architecture'>,
  ranking: { method: string } & Partial<Ranking>,
  options: PlanOptions,
  importance = ranking.importance ?? ranking.scores,
): FoldPlan {
  const layers = architecture.layers.length;
  const share = widthShare(architecture, options);
  const { shrink = 'depth' } = options;
  const depth =
    shrink === 'depth' ? options : { ...options, remove: layersToRemove(options, layers) / layers };
  const plan = makePlan({ name, layers }, ranking, depth);
  if (share === 1) return plan;
  if ((options.adapter?.rank ?? 0) > 0) {
    throw new UsageError(
      "Low-rank matrices of --adapter start from blocks as wide as the checkpoint's: leave out --width, or take --adapter gain.",
    );
  }
  const { spread = usualSpread } = options;
  if (!(spread > 0 && Number.isFinite(spread)))
    throw new UsageError(`--spread takes a number above 0, not ${spread}.`);
  const whole = architecture.intermediateSize;
  const groups = groupsOf(plan);
  // Blocks of which attention alone is run have no MLP to give.
  const blocks = [...groups.keys()].filter((block) => halfOfBlock(plan.layers, block) !== 'attention');
  // A block is worth what its layers are together.
  const scores = blocks.map((block) =>
    groups[block]!.reduce((sum, layer) => sum + (importance?.[layer] ?? 0), 0),
  );
  const found = widthsOf(whole, scores, share, spread);
  const widths = groups.map((_, block) => found[blocks.indexOf(block)] ?? whole);
  return { ...plan, widths };
}

/**
 * Widths of blocks whose mean is the share of the whole, to half a granule over all blocks together: how importance
 * spreads them does not change their sum.
 * @param whole width of the checkpoint's MLPs
 * @param importance of each block
 * @param share above `leastWidth` of the whole
 */
export function widthsOf(
  whole: number,
  importance: readonly number[],
  share: number,
  spread: number,
): number[] {
  const granule = granuleOf(whole);
  const most = Math.ceil((whole - leastWidth(whole)) / granule);
  const wanted = Math.min(
    Math.round(((1 - share) * whole * importance.length) / granule),
    most * importance.length,
  );
  const ideal = allocateSparsity(importance, wanted / importance.length, spread, most);
  const granules = ideal.map((part) => Math.min(Math.floor(part + 1e-9), most));
  // What rounding down left goes where most was cut off.
  const byRemainder = [...ideal.keys()].sort(
    (a, b) => ideal[b]! - granules[b]! - (ideal[a]! - granules[a]!) || a - b,
  );
  let left = wanted - granules.reduce((sum, count) => sum + count, 0);
  for (const block of byRemainder) {
    if (left <= 0) break;
    if (granules[block]! >= most) continue;
    granules[block]! += 1;
    left--;
  }
  // Where the whole is no multiple, the first granule is what it has beyond one.
  const multiple = Math.ceil(whole / granule) * granule;
  return granules.map((count) => Math.min(whole, multiple - count * granule));
}

/**
 * How much of each block goes: the maximum of the sum of importance times what stays, plus `spread` times the entropy
 * of what goes, over all ways to remove as much in the mean. In closed form a softmax of -importance / spread, times what
 * goes in all (MoDeGPT, arXiv 2408.09632): near 0, the least important block gives all, and with growing spread all
 * give alike. Where a block would give more than it may, the others give the rest in the same proportion.
 * @param mean of what goes, at most `most`; in any unit
 * @param most that goes of a block
 * @returns by block, their mean as asked for
 */
export function allocateSparsity(
  importance: readonly number[],
  mean: number,
  spread: number,
  most: number,
): number[] {
  const lowest = Math.min(...importance);
  const weights = importance.map((score) => Math.exp((lowest - score) / spread));
  const result = new Array<number>(weights.length).fill(0);
  let open = [...weights.keys()];
  let left = mean * weights.length;
  while (open.length > 0) {
    const total = open.reduce((sum, block) => sum + weights[block]!, 0);
    // Weights that vanish beside the others' have nothing to tell apart: what they give is alike.
    const part = (block: number) => left * (total > 0 ? weights[block]! / total : 1 / open.length);
    const full = open.filter((block) => part(block) > most);
    if (full.length === 0) {
      for (const block of open) result[block] = part(block);
      break;
    }
    for (const block of full) result[block] = most;
    left -= most * full.length;
    open = open.filter((block) => !full.includes(block));
  }
  return result;
}
