import { type AdapterForm, noAdapter } from '../adapter/adapter.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { FoldPlan, PatchKind, PlannedLayer } from '../plan/plan.ts';
import { searchRank } from '../rank/summaries.ts';
import type { Candidate } from './choose.ts';

/** What a candidate decides of a plan. */
export type Choice = Pick<Candidate, 'from' | 'to' | 'fate'>;

export interface DraftOptions {
  quantize: string;
  patch?: PatchKind | undefined;
}

/** The plan that choices, which cover every layer, come to. Layers that share have adapters of the form. */
export function draftPlan(
  { name, architecture }: Checkpoint,
  choices: readonly Choice[],
  form: AdapterForm,
  { quantize, patch }: DraftOptions,
): FoldPlan {
  const layers: PlannedLayer[] = [];
  let block = -1;
  for (const { from: source, fate } of choices) {
    if (fate === 'kept') block++;
    if (fate !== 'removed') layers.push({ source, block });
  }
  const shares = choices.some(({ fate }) => fate === 'shared');
  const { gains, rank, orchestra } = form;
  const adapter = { gains, rank, ...(orchestra && { orchestra }) };
  return {
    version: 1,
    checkpoint: name,
    checkpointLayers: architecture.layers.length,
    method: searchRank,
    layers,
    ...(shares && (gains || rank > 0) && { adapter }),
    ...(patch && patch !== 'none' && { patch }),
    weights: 'first',
    quantize,
  };
}

/** What the parts of a plan take. */
export interface PartSizes {
  /** Of a layer with a block of its own. */
  kept: number;
  /** Of a layer with another's. */
  shared: number;
  /** Of what stands in for a run of removed layers, where a layer is before it. */
  patch: number;
  /** Of what no layer changes. */
  fixed: number;
}

/**
 * Takes the measure of plans apart, by the differences that one layer makes.
 * @param sizeOf grows alike with every layer that is kept, shared or patched
 */
export function partSizes(
  checkpoint: Checkpoint,
  form: AdapterForm,
  options: DraftOptions,
  sizeOf: (plan: FoldPlan) => number,
): PartSizes {
  const depth = checkpoint.architecture.layers.length;
  const all = Array.from({ length: depth }, (_, from): Choice => ({ from, to: from + 1, fate: 'kept' }));
  const withSecond = (fate: Choice['fate'], patch: DraftOptions['patch']) =>
    sizeOf(draftPlan(checkpoint, all.with(1, { from: 1, to: 2, fate }), form, { ...options, patch }));
  const none = withSecond('removed', 'none');
  const whole = sizeOf(draftPlan(checkpoint, all, noAdapter, options));
  return {
    kept: whole - none,
    shared: withSecond('shared', 'none') - none,
    patch: withSecond('removed', options.patch) - none,
    fixed: whole - depth * (whole - none),
  };
}
