import { adaptedLayers } from '../compressor/adapter/adapted-layers.ts';
import type { Checkpoint } from '../compressor/checkpoint/checkpoint.ts';
import { halfNames } from '../compressor/graph/halves.ts';
import { fittedLayers } from '../compressor/patch/cuts.ts';
import { type FoldPlan, groupsOf, type PlannedLayer } from '../compressor/plan/plan.ts';
import { foldedSizes } from '../compressor/plan/sizes.ts';
import {
  bitsBudget,
  formatPrecision,
  parsePrecision,
  resolvePrecision,
} from '../compressor/quantize/precision.ts';
import { formatBytes } from './progress.ts';

/** A plan for people: what each layer becomes, and what it saves. */
export function planTable(checkpoint: Checkpoint, plan: FoldPlan): string {
  const planned = new Map(plan.layers.map((layer) => [layer.source, layer]));
  const groups = groupsOf(plan);
  const columns = scoresOf(plan);
  const fitted = new Set(fittedLayers(plan).map((index) => plan.layers[index]!.source));
  const rows = checkpoint.architecture.layers.map((_, layer) => {
    const trained = fitted.has(layer) ? ', trained to stand in for the layers after it' : '';
    const fate = `${fateOf(planned.get(layer), groups)}${widthOf(checkpoint, plan, planned.get(layer))}${trained}`;
    const score = columns.map(([, scores]) => scores[layer]!.toFixed(4).padStart(10)).join('');
    return `${String(layer).padStart(5)}${score}  ${fate}`;
  });
  return [
    `Fold plan for ${checkpoint.name} (${checkpoint.architecture.family}, ${checkpoint.architecture.layers.length} layers)`,
    '',
    `layer${columns.map(([title]) => title.padStart(10)).join('')}  becomes`,
    ...rows,
    '',
    planSummary(checkpoint, plan),
  ].join('\n');
}

/** What layers were ranked by: a column for each half where halves were, none where nothing was. */
function scoresOf({ method, scores, halfScores }: FoldPlan): [title: string, scores: number[]][] {
  if (halfScores) return Object.entries(halfScores);
  return scores ? [[method, scores]] : [];
}

/** What it comes to: layers, parameters, bytes. */
export function planSummary(checkpoint: Checkpoint, plan: FoldPlan): string {
  const precision = resolvePrecision(checkpoint, plan, parsePrecision(plan.quantize));
  const budget = bitsBudget(plan.quantize);
  const sizes = foldedSizes(checkpoint.architecture, plan, precision, budget);
  const percent = (part: number, whole: number) => `${((100 * part) / whole).toFixed(1)}%`;
  const blocks = groupsOf(plan).length;
  return [
    `Layers       ${checkpoint.architecture.layers.length} -> ${plan.layers.length}, running ${blocks} distinct blocks`,
    ...(plan.adapter ? [`Adapters     ${describeAdapters(plan)}`] : []),
    ...(plan.widths ? [`MLPs         ${describeWidths(checkpoint, plan.widths)}`] : []),
    `Parameters   ${sizes.original.toLocaleString('en')} -> ${sizes.folded.toLocaleString('en')} (${percent(sizes.folded, sizes.original)})`,
    `Bytes        ${formatBytes(sizes.originalBytes)} in bfloat16 -> ${formatBytes(sizes.bytes)} (${percent(sizes.bytes, sizes.originalBytes)})`,
    `Quantization ${Object.entries(precision)
      .map(([kind, form]) => `${kind} ${formatPrecision(form)}`)
      .join(', ')}${budget === undefined ? '' : `, some in int8: up to ${budget} bits a block weight`}`,
  ].join('\n');
}

function fateOf(layer: PlannedLayer | undefined, groups: number[][]): string {
  if (!layer) return 'removed';
  const { block, half, refill } = layer;
  if (refill) return `removed, its place filled again with block ${block}`;
  return `block ${block}${half ? `, its ${halfNames[half]} alone` : ''}${groups[block]!.length > 1 ? `, shared by layers ${groups[block]!.join(', ')}` : ''}`;
}

function widthOf(
  { architecture }: Checkpoint,
  { widths }: FoldPlan,
  layer: PlannedLayer | undefined,
): string {
  const width = layer && widths?.[layer.block];
  return width === undefined || width === architecture.intermediateSize ? '' : `, MLP ${width} wide`;
}

function describeWidths({ architecture }: Checkpoint, widths: readonly number[]): string {
  const whole = architecture.intermediateSize;
  const mean = widths.reduce((sum, width) => sum + width, 0) / widths.length;
  return `${Math.min(...widths)} to ${Math.max(...widths)} wide of ${whole}, ${((100 * mean) / whole).toFixed(1)}% in the mean`;
}

function describeAdapters(plan: FoldPlan): string {
  const { gains, rank, pool, orchestra } = plan.adapter!;
  const source = pool ? ' (from common pools of shards)' : orchestra ? ' (trained together)' : '';
  const kinds = [
    ...(gains ? ['gains'] : []),
    ...(rank > 0 ? [`low-rank matrices of rank ${rank}${source}`] : []),
  ];
  return `${kinds.join(' and ')} of ${adaptedLayers(plan).length} layers that run another layer's block`;
}
