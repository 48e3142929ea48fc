import { UsageError } from '../artifact/errors.ts';
import type { Checkpoint } from '../compressor/checkpoint/checkpoint.ts';
import type { TextWindows } from '../compressor/evaluate/windows.ts';
import type { makePlan, PlanOptions } from '../compressor/plan/make-plan.ts';
import type { FoldPlan } from '../compressor/plan/plan.ts';
import { checkCalibration } from '../compressor/quantize/calibration.ts';
import type { LayerHalf, Ranking, RankRequest } from '../compressor/rank/ranker.ts';
import { halfwise, searchRank } from '../compressor/rank/summaries.ts';
import { anyQuantization, type FoldFlags } from './fold-options.ts';
import { formatBytes, type Progress } from './progress.ts';

/**
 * The plan of a file, or one made by ranking the layers.
 * @param options.rank also where the plan does without: somebody wants to see the scores. @default false
 */
export async function planOf(
  checkpoint: Checkpoint,
  flags: FoldFlags,
  calibration: TextWindows,
  show: Progress,
  signal: AbortSignal,
  options: { rank?: boolean } = {},
): Promise<FoldPlan> {
  if (flags.plan !== undefined) {
    const { readPlan } = await import('../compressor/plan/plan.ts');
    const { name, architecture } = checkpoint;
    const { layers, intermediateSize } = architecture;
    return readPlan(flags.plan, { name, layers: layers.length, intermediateSize });
  }
  checkCalibration(flags.calibrate, flags.adapter);
  await fitFlags(checkpoint, flags);
  const { parsePrecision } = await import('../compressor/quantize/precision.ts');
  parsePrecision(flags.quantize); // a typing error is told before the work, not after it
  if (flags.rank === searchRank) return searchedPlan(checkpoint, flags, calibration, show, signal, options);
  const until = await untilItFits(checkpoint, flags);
  const ranking = await rankingFor(checkpoint, flags, calibration, show, signal, {
    ...options,
    ...(until && { until }),
  });
  return rankedPlan(checkpoint, ranking, flags, calibration, show, signal);
}

type RankingOf = Parameters<typeof makePlan>[1];

/**
 * Ranks the layers where the fold needs it.
 * @param options as for `planOf`; `until`, where halves of layers go, whether those are enough
 */
export async function rankingFor(
  checkpoint: Checkpoint,
  flags: Pick<FoldFlags, 'rank'> & PlanOptions,
  calibration: TextWindows,
  show: Progress,
  signal: AbortSignal,
  options: { rank?: boolean } & Pick<RankRequest, 'until'> = {},
): Promise<RankingOf> {
  const depth = { layers: checkpoint.architecture.layers.length };
  const { fromStart } = await import('../compressor/plan/make-plan.ts');
  const { layersToRemove, makeSizedPlan, widthShare } = await import('../compressor/plan/widths.ts');
  const isNarrower = widthShare(checkpoint.architecture, flags) < 1;
  const remove = layersToRemove(flags, depth.layers);
  // Groups that are measured leave their blocks to layers that scores show to be vital.
  const isScored = flags.weights === 'weighted' || (flags.groups === 'measured' && flags.share > 1);
  if (!options.rank && remove === 0 && !isNarrower && !isScored) return { method: 'none' };
  // What cannot be done is told before the work.
  makeSizedPlan(checkpoint, { method: flags.rank, ...unranked(flags.rank, depth.layers) }, flags);
  const { rankers } = await import('../compressor/rank/index.ts');
  const ranked = await rankers[flags.rank]!(checkpoint, calibration, {
    remove,
    share: flags.remove,
    keep: fromStart(flags.keep, depth.layers),
    ...(options.until && { until: options.until }),
    onProgress: (done, total) => show.update(`Ranking layers by ${flags.rank}`, done, total),
    signal,
  });
  show.finish();
  const { withImportance } = await import('../compressor/rank/importance.ts');
  return withImportance(checkpoint, calibration, flags, { method: flags.rank, ...ranked }, { signal });
}

/** A ranking for which all layers matter alike. */
function unranked(rank: string, layers: number, removed: readonly LayerHalf[] = []): Ranking {
  const scores = new Array<number>(layers).fill(0);
  const halves = halfwise.has(rank) ? { scores: { attention: scores, mlp: scores }, removed } : undefined;
  return { scores, ...(halves && { halves }) };
}

/** Where halves of layers go for a size: whether enough are gone. Whole layers are counted beforehand. */
async function untilItFits(checkpoint: Checkpoint, flags: FoldFlags): Promise<RankRequest['until']> {
  const limit = flags.fit ?? flags.targetSize;
  if (limit === undefined || !halfwise.has(flags.rank)) return undefined;
  const { makePlan } = await import('../compressor/plan/make-plan.ts');
  const bytesOf = await sizing(checkpoint, flags);
  const { name, architecture } = checkpoint;
  const layers = architecture.layers.length;
  return (removed) => {
    const ranking = { method: flags.rank, ...unranked(flags.rank, layers, removed) };
    return bytesOf(makePlan({ name, layers }, ranking, flags)) <= limit;
  };
}

/** The plan that a ranking comes to. */
export async function rankedPlan(
  checkpoint: Checkpoint,
  ranking: RankingOf,
  options: PlanOptions,
  calibration: TextWindows,
  show: Progress,
  signal: AbortSignal,
): Promise<FoldPlan> {
  const { makeSizedPlan } = await import('../compressor/plan/widths.ts');
  let plan = makeSizedPlan(checkpoint, ranking, options);
  if (options.groups === 'measured') {
    const { withMeasuredGroups } = await import('../compressor/search/measured-groups.ts');
    plan = await withMeasuredGroups(checkpoint, plan, calibration, {
      onProgress: (done, total) => show.update('Measuring what sharing harms', done, total),
      signal,
    });
    show.finish();
  }
  if (options.refill !== 'nearest') return plan;
  const { withNearestBlocks } = await import('../compressor/plan/nearest-blocks.ts');
  const chosen = await withNearestBlocks(checkpoint, plan, {
    onProgress: (done, total) => show.update('Looking for the nearest blocks', done, total),
    signal,
  });
  show.finish();
  return chosen;
}

/** Finds what --target-size or --fit leave open, and says what it found. */
async function fitFlags(checkpoint: Checkpoint, flags: FoldFlags): Promise<void> {
  const { targetSize, fit } = flags;
  if (targetSize === undefined && fit === undefined) return;
  const { fitSize } = await import('../compressor/plan/fit-size.ts');
  const tokenizer = await tokenizerBytes(checkpoint);
  const target = targetSize === undefined ? { served: fit! } : { stored: targetSize };
  const fixed = flags.quantize !== anyQuantization;
  const found = fitSize(checkpoint, target, tokenizer, flags, fixed);
  Object.assign(flags, { remove: found.remove, quantize: found.quantize });
  const { layers } = checkpoint.architecture;
  const inHalves = halfwise.has(flags.rank) ? ', or as many bytes in halves of layers' : '';
  const share = `${(100 * found.remove).toFixed(1)}% of the blocks' parameters`;
  const removed = {
    depth: `${Math.round(found.remove * layers.length)} layers removed${inHalves}`,
    width: `MLPs narrower by ${share}`,
    both: `layers and MLPs smaller by ${share}`,
  }[flags.shrink];
  process.stderr.write(
    `To stay below ${formatBytes(targetSize ?? fit!)}: --quantize ${found.quantize}, ${removed}, ` +
      `${formatBytes(found.bytes)} ${targetSize === undefined ? 'in memory' : 'stored'}.\n`,
  );
}

/** How the bytes of plans are counted: those in memory where `--fit` bounds them, else those in a store. */
async function sizing(checkpoint: Checkpoint, { fit }: FoldFlags): Promise<(plan: FoldPlan) => number> {
  const { servedBytes, sizedModel, storedBytes } = await import('../compressor/plan/served-bytes.ts');
  const tokenizer = await tokenizerBytes(checkpoint);
  const bytes = fit === undefined ? storedBytes : servedBytes;
  return (plan) => bytes(sizedModel(checkpoint, plan, tokenizer));
}

export async function tokenizerBytes(checkpoint: Checkpoint): Promise<number> {
  const files = Object.values(await checkpoint.tokenizerFiles());
  return files.reduce((sum, { length }) => sum + length, 0);
}

/**
 * What the search finds in the size asked for; where that is a share of layers, in the bytes of a fold without so many,
 * in one run.
 */
async function searchedPlan(
  checkpoint: Checkpoint,
  flags: FoldFlags,
  calibration: TextWindows,
  show: Progress,
  signal: AbortSignal,
  options: { rank?: boolean },
): Promise<FoldPlan> {
  const { searchPlan } = await import('../compressor/search/search-plan.ts');
  const { makePlan } = await import('../compressor/plan/make-plan.ts');
  const { name, architecture } = checkpoint;
  const scores = architecture.layers.map((_, layer) => layer);
  if (flags.width !== 1 || flags.shrink !== 'depth')
    throw new UsageError('--rank search leaves the widths of MLPs alone: leave out --width and --shrink.');
  const inOneRun = makePlan({ name, layers: scores.length }, { method: 'none', scores }, flags);
  if (
    Math.round(flags.remove * scores.length) === 0 &&
    flags.targetSize === undefined &&
    flags.fit === undefined
  ) {
    if (!options.rank) return inOneRun;
    throw new UsageError('--rank search looks for a fold of a size: give --remove, --target-size or --fit.');
  }
  const of = await sizing(checkpoint, flags);
  const limit = flags.fit ?? flags.targetSize ?? of(inOneRun);
  const plan = await searchPlan(checkpoint, calibration, {
    size: { of, limit, inWords: formatBytes },
    options: flags,
    cost: flags.searchCost,
    onProgress: (step, done, total) => show.update(step, done, total),
    signal,
  });
  show.finish();
  return plan;
}
