import { withResource } from '../../artifact/dispose.ts';
import { residualAdapter } from '../adapter/adapt-student.ts';
import type { AdapterWeights } from '../adapter/adapter.ts';
import { TruncatedSvd } from '../adapter/truncated-svd.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import { longestOf } from '../evaluate/windows.ts';
import { betweenSteps, inSteps } from '../forward/between-steps.ts';
import { embed } from '../forward/embed.ts';
import { LayerRunner } from '../forward/layer-runner.ts';
import { PatchRunner } from '../forward/patch-runner.ts';
import { fitPatch } from '../patch/fit.ts';
import { type BlockWeights, readLayer } from '../weights/block.ts';

/** What is to be measured. */
export interface ReplacementRequest extends EvaluateOptions {
  /** Layers that may give up their block. */
  removable: ReadonlySet<number>;
  /** Layers of the longest run to be removed. */
  longest: number;
  /** Whether a linear map stands in for a run of removed layers, where a layer is before it. */
  patched: boolean;
  /** A layer may run the block of one so many layers before it. */
  reach: number;
  /** Ranks of the low-rank matrices that it may have beside that block; 0 for none. */
  ranks: readonly number[];
  /** Windows that patches are fitted on: the first so many. */
  fitted: number;
  /** Errors are those of the windows from this one on. */
  held: number;
}

/** What may take the place of layers `from` to `to - 1`: see `Candidate`. */
export type Replacement =
  | { fate: 'removed'; from: number; to: number }
  | { fate: 'shared'; from: number; to: number; owner: number; rank: number };

/** With its `relativeError`. */
export type MeasuredReplacement = Replacement & { error: number };

/** All that a request comes to, by the last layer they replace: known before anything is read. */
export function replacementsOf(layers: number, request: ReplacementRequest): Replacement[] {
  return Array.from({ length: layers }, (_, layer) => replacementsUpTo(layer, request)).flat();
}

function replacementsUpTo(
  layer: number,
  { removable, longest, reach, ranks }: ReplacementRequest,
): Replacement[] {
  if (!removable.has(layer)) return [];
  const to = layer + 1;
  const found: Replacement[] = [];
  for (let from = layer; from > layer - longest && removable.has(from); from--)
    found.push({ fate: 'removed', from, to });
  for (let owner = layer - 1; owner >= Math.max(0, layer - reach); owner--)
    for (const rank of ranks) found.push({ fate: 'shared', from: layer, to, owner, rank });
  return found;
}

/**
 * Measures each replacement by itself against the checkpoint, block by block (after DNA, arXiv 1911.13053): given the
 * checkpoint's own states before its place, how far is what it puts out from the checkpoint's states behind it. One pass of
 * the checkpoint, and a layer's work a replacement. Memory holds two blocks, and the states of `longest` + 1 depths.
 */
export async function measureReplacements(
  checkpoint: Checkpoint,
  windows: Int32Array[],
  request: ReplacementRequest,
): Promise<MeasuredReplacement[]> {
  const { architecture: a } = checkpoint;
  const runner = new LayerRunner(a, longestOf(windows));
  return withResource(runner, () =>
    withResource(new PatchRunner(a), (patches) =>
      withResource(new TruncatedSvd(), (svd) =>
        measureAll({ checkpoint, runner, patches, svd }, windows, request),
      ),
    ),
  );
}

interface Tools {
  checkpoint: Checkpoint;
  runner: LayerRunner;
  patches: PatchRunner;
  svd: TruncatedSvd;
}

async function measureAll(
  tools: Tools,
  windows: Int32Array[],
  request: ReplacementRequest,
): Promise<MeasuredReplacement[]> {
  const { checkpoint, runner } = tools;
  const { width, layers } = checkpoint.architecture;
  const { longest, held, signal } = request;
  const total = replacementsOf(layers.length, request).length;
  const measured: MeasuredReplacement[] = [];
  /** The checkpoint's states before each layer. */
  const before: Float32Array[][] = [await embed(checkpoint, windows)];
  for (const layer of layers.keys()) {
    const { block, norms } = await readLayer(checkpoint, layer);
    const after = await inSteps(before[layer]!, (state) => runner.run(layer, block, norms, state), signal);
    before.push(after);
    /** The block that was run last: replacements of one owner follow each other. */
    let other: { owner: number; block: BlockWeights } | undefined;
    for (const replacement of replacementsUpTo(layer, request)) {
      const { fate, from } = replacement;
      let states: Float32Array[];
      if (fate === 'removed') {
        states = await removed(tools, before[from]!, after, {
          ...request,
          patched: request.patched && from > 0,
        });
      } else {
        const { owner, rank } = replacement;
        if (other?.owner !== owner) other = { owner, block: (await readLayer(checkpoint, owner)).block };
        const own = { ...norms, ...(await adapterFor(tools, layer, other.block, rank, signal)) };
        const { block } = other;
        const run = (state: Float32Array) => runner.run(layer, block, own, state);
        states = await inSteps(before[from]!.slice(held), run, signal);
      }
      measured.push({ ...replacement, error: relativeError(states, after.slice(held), width) });
      request.onProgress?.(measured.length, total);
    }
    if (layer + 1 > longest) before[layer + 1 - longest] = []; // no run begins so early any more
  }
  return measured;
}

/** The states that stand in for those behind a run of removed layers. */
async function removed(
  { checkpoint, patches }: Tools,
  before: Float32Array[],
  after: Float32Array[],
  { patched, fitted, held, signal }: ReplacementRequest,
): Promise<Float32Array[]> {
  await betweenSteps(signal);
  const states = before.slice(held);
  if (!patched) return states;
  const { width } = checkpoint.architecture;
  const patch = fitPatch(width, before.slice(0, fitted), after.slice(0, fitted));
  return states.map((state) => patches.run(patch, state));
}

async function adapterFor(
  { checkpoint, svd }: Tools,
  layer: number,
  block: BlockWeights,
  rank: number,
  signal: AbortSignal | undefined,
): Promise<AdapterWeights> {
  if (rank === 0) return {};
  return residualAdapter(checkpoint, layer, async (matrix) => block.matrices[matrix]!, { rank, svd, signal });
}

/**
 * The mean over all tokens of |state - target|² / |target|²: relative, since the massive states of the first tokens
 * would own the sum otherwise, and since what a block adds counts by what it is added to.
 * @param states per window [tokens, width]
 */
function relativeError(states: Float32Array[], targets: Float32Array[], width: number): number {
  let [sum, tokens] = [0, 0];
  for (const [w, target] of targets.entries()) {
    const state = states[w]!;
    for (let start = 0; start < target.length; start += width) {
      let [distance, square] = [0, 0];
      for (let i = start; i < start + width; i++) {
        distance += (state[i]! - target[i]!) ** 2;
        square += target[i]! ** 2;
      }
      sum += distance / (square || 1);
      tokens++;
    }
  }
  return sum / tokens;
}
