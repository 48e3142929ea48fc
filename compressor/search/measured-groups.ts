import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import type { TextWindows } from '../evaluate/windows.ts';
import type { FoldPlan } from '../plan/plan.ts';
import { type Candidate, cheapestCombinations } from './choose.ts';
import { measureReplacements } from './measure-replacements.ts';
import type { MeasuredReplacement, ReplacementRequest } from './replacements.ts';

/** Layers of a group beside its first, at most, for each layer of an even group: the work grows with it. */
const reachPerLayer = 2;

/** A layer whose score is so many times the median is one that the model cannot do without: it keeps its own block. */
const vital = 10;

/**
 * Groups the kept layers of a plan anew, under as many blocks: so that the errors are least which layers make that run the
 * block of the first of their group, each measured by itself on the checkpoint's own states (`measureReplacements`). Groups
 * are exactly the best for the sum of errors. Layers that matter far more than the others by the plan's scores keep their own
 * block, as far as the number of blocks allows; others may run it, which changes these and not them.
 * @param plan with the weights of the first of each group; one with a block for each layer is left as it is
 */
export async function withMeasuredGroups(
  checkpoint: Checkpoint,
  plan: FoldPlan,
  text: TextWindows,
  { onProgress, signal }: EvaluateOptions = {},
): Promise<FoldPlan> {
  const kept = plan.layers.filter(({ refill }) => !refill).map(({ source }) => source);
  const blocks = new Set(plan.layers.map(({ block }) => block)).size;
  if (blocks === kept.length) return plan;
  const depth = checkpoint.architecture.layers.length;
  const owners = new Set(kept);
  const request: ReplacementRequest = {
    removable: owners,
    owners,
    longest: 0,
    patched: false,
    reach: Math.ceil(kept.length / blocks) * reachPerLayer,
    ranks: [plan.adapter?.pool ? 0 : (plan.adapter?.rank ?? 0)],
    fitted: 0,
    held: 0,
    cost: 'error',
    ...(onProgress && { onProgress }),
    ...(signal && { signal }),
  };
  const measured = await measureReplacements(checkpoint, text, request);
  const blockOf = groupsWithin(measured, kept, depth, blocks, vitalLayers(plan.scores ?? []));
  let block = 0;
  return {
    ...plan,
    // A layer that comes back runs the block of the kept one before it, as it did.
    layers: plan.layers.map((layer) => {
      block = blockOf.get(layer.source) ?? block;
      return { ...layer, block };
    }),
  };
}

/** The block of each kept layer, of `blocks` at most. @param own layers to keep theirs, the first of them the longest */
function groupsWithin(
  measured: readonly MeasuredReplacement[],
  kept: readonly number[],
  depth: number,
  blocks: number,
  own: readonly number[],
): Map<number, number> {
  const candidates = kept.map((from): Candidate => ({ from, to: from + 1, fate: 'kept', cost: 0, size: 1 }));
  for (const one of measured)
    if (one.fate === 'shared' && !own.includes(one.from)) candidates.push({ ...one, size: 0 });
  const [best] = cheapestCombinations([...candidates, ...gaps(kept, depth)], depth, blocks, 1);
  if (!best) return groupsWithin(measured, kept, depth, blocks, own.slice(0, -1));
  let block = -1;
  const layers = best.choices.filter(({ fate }) => fate !== 'removed');
  return new Map(layers.map(({ from, fate }) => [from, fate === 'kept' ? ++block : block]));
}

/** The runs of layers that are not kept: nothing else may become of them. */
function gaps(kept: readonly number[], depth: number): Candidate[] {
  const ends = [...kept, depth];
  return ends.flatMap((to, i): Candidate[] => {
    const from = i === 0 ? 0 : kept[i - 1]! + 1;
    return from < to ? [{ from, to, fate: 'removed', cost: 0, size: 0 }] : [];
  });
}

/** Those that matter most first. */
function vitalLayers(scores: readonly number[]): number[] {
  const sorted = scores.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  const outlying = [...scores.keys()].filter((layer) => scores[layer]! > vital * Math.abs(median));
  return outlying.sort((a, b) => scores[b]! - scores[a]!);
}
