import type { Checkpoint } from '../compressor/checkpoint/checkpoint.ts';
import type { PlanOptions } from '../compressor/plan/make-plan.ts';
import type { FoldPlan } from '../compressor/plan/plan.ts';
import { foldedSizes } from '../compressor/plan/sizes.ts';
import { canNarrow, layersToRemove, makeSizedPlan } from '../compressor/plan/widths.ts';
import { bitsBudget, parsePrecision, resolvePrecision } from '../compressor/quantize/precision.ts';
import { formatBytes } from './progress.ts';
import { formatTable } from './table.ts';

/** Values of --remove to show: what models bear, and somewhat beyond. */
const shares = [0.1, 0.2, 0.3, 0.4, 0.5];

/**
 * For people who have not decided yet: which layers, or how much of the MLPs' width, `--remove` would take from a checkpoint, and what that
 * saves.
 * @param ranked a plan with scores
 */
export function removalTable(checkpoint: Checkpoint, ranked: FoldPlan, options: PlanOptions): string {
  if (ranked.halfScores)
    return 'Which halves of layers go together depends on how many: give --remove a share.';
  const { architecture } = checkpoint;
  const { shrink = 'depth' } = options;
  const layers = architecture.layers.length;
  const ranking = { method: ranked.method, scores: ranked.scores! };
  const kept = new Set(options.keep.map((layer) => (layer + layers) % layers));
  const rows: string[][] = [];
  let shown = 0;
  for (const share of shares) {
    const count = layersToRemove({ remove: share, shrink }, layers);
    const isMore =
      count > layers - kept.size ||
      (shrink !== 'depth' && !canNarrow(architecture, { remove: share, shrink }));
    if (isMore || (shrink === 'depth' && count === shown)) continue; // more than may go, or as the row before
    shown = count;
    const plan = makeSizedPlan(checkpoint, ranking, { ...options, remove: share });
    const precision = resolvePrecision(checkpoint, plan, parsePrecision(plan.quantize));
    const sizes = foldedSizes(architecture, plan, precision, bitsBudget(plan.quantize));
    const left = new Set(plan.layers.map((layer) => layer.source));
    rows.push([
      `--remove ${share}`,
      `${((100 * sizes.folded) / sizes.original).toFixed(1)}%`,
      formatBytes(sizes.bytes),
      shrink === 'width'
        ? (plan.widths ?? []).join(', ')
        : [...architecture.layers.keys()].filter((layer) => !left.has(layer)).join(', '),
    ]);
  }
  if (rows.length === 0) return `None of the ${layers} layers can be removed beside those of --keep.`;
  return formatTable(
    ['removing', 'parameters', 'bytes', shrink === 'width' ? 'widths of MLPs' : 'layers that go'],
    rows,
  );
}
