import { InvalidDataError, UsageError } from '../../artifact/errors.ts';
import { halves } from '../../artifact/manifest.ts';
import { type AdapterForm, noAdapter } from '../adapter/adapter.ts';
import { sharedFittedLayer } from '../patch/cuts.ts';
import type { LayerHalf, Ranking } from '../rank/ranker.ts';
import type { FoldPlan, PatchKind, PlannedLayer, SharedWeights } from './plan.ts';
import type { Shrink } from './widths.ts';

/**
 * What runs in the places of the layers whose blocks are removed: nothing; behind gains that start at zero, the kept
 * block before them (`previous`) or the one whose weights are nearest (`nearest`); or the one before them in full
 * (`tied`: the layers stay, and share a neighbour's block).
 */
export const refills = ['none', 'previous', 'nearest', 'tied'] as const;
export type Refill = (typeof refills)[number];

/**
 * How kept layers are grouped: as many for each block (`even`), or those whose sharing harms least (`measured`).
 */
export const groupings = ['even', 'measured'] as const;
export type Grouping = (typeof groupings)[number];

export interface PlanOptions {
  /** Share of the layers to remove, 0 to 1. @default 0 */
  remove: number;
  /** Kept neighbours that share one block, in the mean. @default 1 */
  share: number;
  /**
   * `measured` gives the plan of `even`, of the same size: what is measured decides, so `withMeasuredGroups` is to follow.
   * @default even
   */
  groups?: Grouping;
  weights: SharedWeights;
  quantize: string;
  /** @default none */
  patch?: PatchKind;
  /**
   * `nearest` gives the plan of `previous`, of the same size: the weights decide, so `withNearestBlocks` is to follow.
   * @default none
   */
  refill?: Refill;
  /** What layers with another layer's block have of their own. @default nothing */
  adapter?: AdapterForm;
  /** Mean share of the MLPs' width that stays. @default 1 */
  width?: number;
  /** What `remove` takes: whole layers, a share of the blocks' parameters off the MLPs' width, or both. @default depth */
  shrink?: Shrink;
  /** How unequal importance makes widths; near 0, the least important block gives all. @default 0.1 */
  spread?: number;
  /** Layers that are never removed, negative ones counted from the end. @default [0, -1] */
  keep: number[];
}

/**
 * Removes the least important layers, or the halves that the ranking has chosen, and groups the kept neighbours.
 * @param scores importance per layer of the checkpoint: the higher, the more it matters
 * @throws UsageError where nothing would be left, more should go than may go, or a layer is to be trained by itself
 * and shared; InvalidDataError for scores that are no numbers
 */
export function makePlan(
  checkpoint: { name: string; layers: number },
  ranking: { method: string } & Partial<Ranking>,
  options: PlanOptions,
): FoldPlan {
  const { layers } = checkpoint;
  const { remove, share } = options;
  if (!(remove >= 0 && remove < 1))
    throw new UsageError(`--remove takes a share from 0 to below 1, not ${remove}.`);
  if (!(share >= 1 && share <= layers)) {
    throw new UsageError(
      `--share takes a number from 1 to ${layers} (the layers of ${checkpoint.name}), not ${share}.`,
    );
  }
  const outside = options.keep.find((layer) => layer < -layers || layer >= layers);
  if (outside !== undefined) {
    throw new UsageError(
      `--keep names layer ${outside}; ${checkpoint.name} has layers 0 to ${layers - 1}, or -1 to -${layers} from the end.`,
    );
  }
  const noScore = ranking.scores?.findIndex((score) => !Number.isFinite(score)) ?? -1;
  if (noScore >= 0) {
    throw new InvalidDataError(
      `Layer ${noScore} of ${checkpoint.name} has the score ${ranking.scores![noScore]}: the model gives no ` +
        'numbers. Is the checkpoint whole?',
    );
  }
  checkGroups(options);
  const { halves: ranked } = ranking;
  if (ranked) refuseBesideHalves(ranking.method, options);
  const planned = ranked
    ? halvedLayers(layers, ranked.removed, share)
    : layersOf(
        layers,
        leastImportant(layers, ranking.scores, Math.round(remove * layers), options.keep),
        share,
        options.refill ?? 'none',
      );
  const refilled = planned.some(({ refill }) => refill);
  const { gains, rank, pool, orchestra } = options.adapter ?? noAdapter;
  const adapter = { gains: gains || refilled, rank, ...(pool && { pool }), ...(orchestra && { orchestra }) };
  const plan: FoldPlan = {
    version: 1,
    checkpoint: checkpoint.name,
    checkpointLayers: layers,
    method: ranking.method,
    layers: planned,
    ...((adapter.gains || rank > 0) && { adapter }),
    ...(options.patch && options.patch !== 'none' && { patch: options.patch }),
    weights: options.weights,
    quantize: options.quantize,
    ...(ranking.scores && { scores: ranking.scores }),
    ...(ranked && { halfScores: ranked.scores }),
    ...(ranking.gates && { gates: ranking.gates }),
  };
  if (sharedFittedLayer(plan) !== undefined) {
    throw new UsageError(
      '--patch block trains the layer before a cut by itself, so no other may run its block. Leave out --share and ' +
        '--refill (in a sweep, say --sweep-share 1), or take --patch linear.',
    );
  }
  return plan;
}

/** What works on whole layers alone. */
function refuseBesideHalves(
  method: string,
  { share, groups, refill, patch, adapter, width = 1, shrink = 'depth' }: PlanOptions,
): void {
  const given = [
    ...(groups === 'measured' && share > 1 ? ['--groups measured'] : []),
    ...(refill && refill !== 'none' ? [`--refill ${refill}`] : []),
    ...(patch === 'block' ? ['--patch block'] : []),
    ...(adapter && (adapter.gains || adapter.rank > 0) ? ['--adapter'] : []),
    ...(shrink !== 'depth' ? [`--shrink ${shrink}`] : width < 1 ? ['--width'] : []),
  ];
  if (given.length === 0) return;
  throw new UsageError(
    `--rank ${method} removes halves of layers, and ${given.join(' and ')} are for whole ones: leave out either.`,
  );
}

/** Layers without those halves; neighbours that run the same halves share blocks. */
function halvedLayers(count: number, removed: readonly LayerHalf[], share: number): PlannedLayer[] {
  const layers: PlannedLayer[] = [];
  let [block, alike] = [-1, 0];
  for (let source = 0; source < count; source++) {
    const run = halves.filter((half) => !removed.some((one) => one.layer === source && one.half === half));
    if (run.length === 0) continue;
    const half = run.length === 1 ? run[0] : undefined;
    const before = layers.at(-1);
    alike = before && before.half === half ? alike + 1 : 0;
    if (alike === 0 || groupOf(alike, share) !== groupOf(alike - 1, share)) block++;
    layers.push({ source, block, ...(half && { half }) });
  }
  return layers;
}

/** @throws UsageError where groups cannot be measured */
function checkGroups({
  groups,
  share,
  refill,
  weights,
  patch,
  width = 1,
  shrink = 'depth',
}: PlanOptions): void {
  if (groups !== 'measured' || share === 1) return;
  const refused = [
    ...(refill === 'tied' ? ['--refill tied'] : []),
    ...(weights !== 'first' ? ['--weights'] : []),
    ...(patch === 'block' ? ['--patch block'] : []),
    ...(width < 1 ? ['--width'] : []),
    ...(shrink !== 'depth' ? [`--shrink ${shrink}`] : []),
  ];
  if (refused.length === 0) return;
  throw new UsageError(
    '--groups measured measures layers that run the whole block of the first of their group, and chooses which these are: ' +
      `leave out ${refused.join(' and ')}.`,
  );
}

function layersOf(count: number, removed: Set<number>, share: number, refill: Refill): PlannedLayer[] {
  const layers: PlannedLayer[] = [];
  let kept = 0;
  for (let source = 0; source < count; source++) {
    // Those that were removed before the first kept layer run that one's block.
    if (!removed.has(source)) layers.push({ source, block: groupOf(kept++, share) });
    else if (refill !== 'none') {
      const block = groupOf(Math.max(kept - 1, 0), share);
      layers.push({ source, block, ...(refill !== 'tied' && { refill: true as const }) });
    }
  }
  return layers;
}

/** The group of a kept layer where a group has `share` of them in the mean: 1.5 makes groups of two and one in turns. */
function groupOf(kept: number, share: number): number {
  return Math.floor(kept / share + 1e-9);
}

function leastImportant(
  layers: number,
  scores: number[] | undefined,
  count: number,
  keep: number[],
): Set<number> {
  if (count === 0) return new Set();
  if (!scores) throw new UsageError('Removing layers needs a ranking of them.');
  if (count >= layers) {
    throw new UsageError(`--remove asks for all ${layers} layers: nothing would be left. Remove fewer.`);
  }
  const protectedLayers = new Set(fromStart(keep, layers));
  const candidates = scores.map((_, layer) => layer).filter((layer) => !protectedLayers.has(layer));
  if (count > candidates.length) {
    throw new UsageError(
      `--remove asks for ${count} of ${layers} layers, but only ${candidates.length} may go: ` +
        `${[...protectedLayers].join(', ')} are kept. Remove fewer, or change --keep.`,
    );
  }
  candidates.sort((a, b) => scores[a]! - scores[b]! || a - b);
  return new Set(candidates.slice(0, count));
}

/** Layers counted from the start, where negative ones count from the end. */
export function fromStart(keep: readonly number[], layers: number): number[] {
  return keep.map((layer) => (layer < 0 ? layers + layer : layer));
}
