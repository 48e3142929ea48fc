import { join, resolve } from 'node:path';
import { UsageError } from '../artifact/errors.ts';
import type { Checkpoint } from '../compressor/checkpoint/checkpoint.ts';
import type { MeasuredFold } from '../compressor/measure-fold.ts';
import type { FoldPlan } from '../compressor/plan/plan.ts';
import type { Sweep, SweepCell } from '../compressor/plan/sweep.ts';
import { searchRank } from '../compressor/rank/summaries.ts';
import { type CalibrationTexts, calibrationTexts } from './calibration-texts.ts';
import type { FoldFlags } from './fold-options.ts';
import { rankedPlan, rankingFor, tokenizerBytes } from './plan-of.ts';
import type { Progress } from './progress.ts';

/** Options of `plan --sweep`. */
export interface SweepFlags {
  sweep?: true;
  sweepKept?: number[];
  sweepShare?: number[];
  sweepWidth?: number[];
  measure?: true;
  report?: string;
}

/** @throws UsageError where options of a sweep were given without one */
export function refuseWithoutSweep(flags: SweepFlags): void {
  if (flags.sweep) return;
  const names = {
    sweepKept: '--sweep-kept',
    sweepShare: '--sweep-share',
    sweepWidth: '--sweep-width',
    measure: '--measure',
    report: '--report',
  };
  for (const [flag, name] of Object.entries(names))
    if (flags[flag as keyof typeof names] !== undefined) throw new UsageError(`${name} needs --sweep.`);
}

/** Sweeps as the flags say, showing the progress on stderr. */
export async function sweepWith(
  checkpoint: Checkpoint,
  flags: FoldFlags & SweepFlags,
  show: Progress,
  signal: AbortSignal,
): Promise<Sweep> {
  const { anyPlan, contextOf, defaultGrid, sweepCells, sweepPoint } = await import(
    '../compressor/plan/sweep.ts'
  );
  const { parsePrecision } = await import('../compressor/quantize/precision.ts');
  parsePrecision(flags.quantize);
  if (flags.measure && flags.rank === searchRank)
    throw new UsageError(
      'A sweep says how many blocks are shared, which --rank search would decide: take another.',
    );
  const standard = defaultGrid(checkpoint, flags.keep);
  const { sweepKept: kept, sweepShare: shares, sweepWidth: widths } = flags;
  const grid = { ...standard, ...(kept && { kept }), ...(shares && { shares }), ...(widths && { widths }) };
  const cells = sweepCells(checkpoint, grid, flags);
  const unranked = cells.map((cell) => anyPlan(checkpoint, cell)); // what cannot be is told before the work
  const tokenizer = await tokenizerBytes(checkpoint);
  const sweep: Sweep = {
    checkpoint: checkpoint.name,
    checkpointLayers: checkpoint.architecture.layers.length,
    quantize: flags.quantize,
    context: contextOf(checkpoint),
    points: [],
  };
  if (!flags.measure) {
    sweep.points = cells.map((cell, i) => sweepPoint(checkpoint, cell, unranked[i]!, tokenizer));
    return sweep;
  }
  const texts = await calibrationTexts(checkpoint, flags);
  const { description, text } = texts.quality;
  sweep.measured = { rank: flags.rank, text: description, tokens: text.tokens };
  const measure = await measurer(checkpoint, flags, texts, show, signal);
  for (const [done, cell] of cells.entries()) {
    const wide = cell.width < 1 ? `, ${cell.width} wide` : '';
    const label = `${cell.kept} layers kept, ${cell.share} a block${wide}`;
    const { plan, measured } = await measure(cell, (step) =>
      show.update('Sweeping', done, cells.length, `${label}: ${step}`),
    );
    show.update('Sweeping', done + 1, cells.length, label);
    sweep.points.push({ ...sweepPoint(checkpoint, cell, plan, tokenizer), measured, plan });
  }
  show.finish();
  return sweep;
}

/** What ranks, folds and measures one cell after the other. */
async function measurer(
  checkpoint: Checkpoint,
  flags: FoldFlags,
  texts: CalibrationTexts,
  show: Progress,
  signal: AbortSignal,
): Promise<
  (cell: SweepCell, onStep: (step: string) => void) => Promise<{ plan: FoldPlan; measured: MeasuredFold }>
> {
  const { defaultCacheFolder } = await import('../artifact/cache.ts');
  const { measureFold } = await import('../compressor/measure-fold.ts');
  const { fitsText } = await import('../compressor/patch/cuts.ts');
  const { layerwise } = await import('../compressor/rank/index.ts');
  const { text } = texts.quality;
  const workFolder = join(defaultCacheFolder(), 'folds');
  const told = new Set<string>();
  const onNotice = (message: string) => {
    if (told.has(message)) return;
    told.add(message);
    show.finish();
    process.stderr.write(`${message}\n`);
  };
  const rankings = new Map<string, Awaited<ReturnType<typeof rankingFor>>>();
  return async ({ kept, options }, onStep) => {
    // Of those that look at each layer by itself, one ranking serves all; where all stays as it is, none is made.
    const isRanked = options.remove > 0 || options.width! < 1;
    const key = layerwise.has(flags.rank) && isRanked ? 'any' : `${kept} ${isRanked}`;
    const ranking =
      rankings.get(key) ??
      (await rankingFor(checkpoint, { ...options, rank: flags.rank }, texts.text, show, signal));
    rankings.set(key, ranking);
    const plan = await rankedPlan(checkpoint, ranking, options, texts.text, show, signal);
    const onProgress = (step: string, done: number, total: number) => onStep(`${step} ${done}/${total}`);
    const how = { checkpoint, plan, text, workFolder, onProgress, onNotice, signal };
    return {
      plan,
      measured: await measureFold({ ...how, ...(fitsText(plan) && { fit: texts.fit(plan) }) }),
    };
  };
}

/** Writes a sweep's report: whole or not at all. */
export async function writeSweepReport(sweep: Sweep, path: string): Promise<void> {
  const { writeAtomically } = await import('../artifact/store/atomic-file.ts');
  const { sweepPage } = await import('../compressor/report/sweep-page.ts');
  const page = sweepPage(sweep);
  await writeAtomically(resolve(path), (file) => file.writeFile(page));
}
