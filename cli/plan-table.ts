import type { Checkpoint } from '../compressor/checkpoint/checkpoint.ts';
import { type FoldPlan, groupsOf } from '../compressor/plan/plan.ts';
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
  const precision = resolvePrecision(checkpoint, plan, parsePrecision(plan.quantize));
  const budget = bitsBudget(plan.quantize);
  const sizes = foldedSizes(checkpoint.architecture, plan, precision, budget);
  const kept = new Map(plan.layers.map((layer) => [layer.source, layer.block]));
  const groups = groupsOf(plan);
  const rows = checkpoint.architecture.layers.map((_, layer) => {
    const block = kept.get(layer);
    const fate =
      block === undefined
        ? 'removed'
        : `block ${block}${groups[block]!.length > 1 ? `, shared by layers ${groups[block]!.join(', ')}` : ''}`;
    const score = plan.scores ? plan.scores[layer]!.toFixed(4).padStart(10) : '';
    return `${String(layer).padStart(5)}${score}  ${fate}`;
  });
  const percent = (part: number, whole: number) => `${((100 * part) / whole).toFixed(1)}%`;
  return [
    `Fold plan for ${checkpoint.name} (${checkpoint.architecture.family}, ${checkpoint.architecture.layers.length} layers)`,
    '',
    `layer${plan.scores ? plan.method.padStart(10) : ''}  becomes`,
    ...rows,
    '',
    `Layers       ${checkpoint.architecture.layers.length} -> ${plan.layers.length}, running ${groups.length} distinct blocks`,
    `Parameters   ${sizes.original.toLocaleString('en')} -> ${sizes.folded.toLocaleString('en')} (${percent(sizes.folded, sizes.original)})`,
    `Bytes        ${formatBytes(sizes.originalBytes)} in bfloat16 -> ${formatBytes(sizes.bytes)} (${percent(sizes.bytes, sizes.originalBytes)})`,
    `Quantization ${Object.entries(precision)
      .map(([kind, form]) => `${kind} ${formatPrecision(form)}`)
      .join(', ')}${budget === undefined ? '' : `, some in int8: up to ${budget} bits a block weight`}`,
  ].join('\n');
}
