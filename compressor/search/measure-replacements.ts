import { withResource } from '../../artifact/dispose.ts';
import { residualAdapter } from '../adapter/adapt-student.ts';
import type { AdapterWeights } from '../adapter/adapter.ts';
import { TruncatedSvd } from '../adapter/truncated-svd.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { longestOf, type TextWindows } from '../evaluate/windows.ts';
import { betweenSteps, inSteps } from '../forward/between-steps.ts';
import { embed } from '../forward/embed.ts';
import { HeadRunner } from '../forward/head-runner.ts';
import { LayerRunner } from '../forward/layer-runner.ts';
import { PatchRunner } from '../forward/patch-runner.ts';
import { fitPatch } from '../patch/fit.ts';
import { meanLosses } from '../rank/mean-losses.ts';
import { type BlockWeights, readLayer } from '../weights/block.ts';
import {
  type MeasuredReplacement,
  type ReplacementRequest,
  replacementsOf,
  replacementsUpTo,
} from './replacements.ts';

/**
 * Measures each replacement by itself against the checkpoint, block by block (after DNA, arXiv 1911.13053): given the
 * checkpoint's own states before its place, how far is what it puts out from the checkpoint's states behind it, or what
 * loss do these lead to. One pass of the checkpoint, and a layer's work a replacement, for its loss half the model's. Memory
 * holds two blocks and the states of `longest` + 1 depths, for losses those behind every replacement.
 * @returns in the order of `replacementsOf`
 */
export async function measureReplacements(
  checkpoint: Checkpoint,
  text: TextWindows,
  request: ReplacementRequest,
): Promise<MeasuredReplacement[]> {
  const { architecture: a } = checkpoint;
  const runner = new LayerRunner(a, longestOf(text.windows));
  return withResource(runner, () =>
    withResource(new PatchRunner(a), (patches) =>
      withResource(new TruncatedSvd(), (svd) =>
        measureAll({ checkpoint, runner, patches, svd }, text, request),
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
  { windows, targets }: TextWindows,
  request: ReplacementRequest,
): Promise<MeasuredReplacement[]> {
  const { checkpoint, runner } = tools;
  const { width, layers } = checkpoint.architecture;
  const { longest, held, cost, signal } = request;
  const all = replacementsOf(layers.length, request);
  const errors: number[] = [];
  /** Of the model with one replacement: for its loss. */
  const variants: Float32Array[][] = [];
  /** The checkpoint's states before each layer. */
  const before: Float32Array[][] = [await embed(checkpoint, windows)];
  let measured = 0;
  for (const layer of layers.keys()) {
    const { block, norms } = await readLayer(checkpoint, layer);
    const advance = (states: Float32Array[]) =>
      inSteps(states, (state) => runner.run(layer, block, norms, state), signal);
    for (const [i, states] of variants.entries()) variants[i] = await advance(states);
    const after = await advance(before[layer]!);
    before.push(after);
    /** The block that was run last: replacements by one owner follow each other. */
    let other: { owner: number; block: BlockWeights } | undefined;
    for (const replacement of replacementsUpTo(layer, request)) {
      const { fate, from } = replacement;
      let states: Float32Array[];
      if (fate === 'removed') {
        const how = { ...request, patched: request.patched && from > 0 };
        states = await removed(tools, before[from]!, after, how);
      } else {
        const { owner, rank } = replacement;
        if (other?.owner !== owner) other = { owner, block: (await readLayer(checkpoint, owner)).block };
        const own = { ...norms, ...(await adapterFor(tools, layer, other.block, rank, signal)) };
        const { block } = other;
        const run = (state: Float32Array) => runner.run(layer, block, own, state);
        states = await inSteps(before[from]!.slice(held), run, signal);
      }
      if (cost === 'loss') variants.push(states);
      else errors.push(relativeError(states, after.slice(held), width));
      request.onProgress?.(++measured, all.length);
    }
    // Nothing begins so early any more.
    const done = layer + 1 - Math.max(1, longest);
    if (done >= 0) before[done] = [];
  }
  if (cost === 'error') return all.map((replacement, i) => ({ ...replacement, cost: errors[i]! }));
  const [whole, ...losses] = await withResource(new HeadRunner(checkpoint), (head) =>
    meanLosses(head, [before.at(-1)!.slice(held), ...variants], targets.slice(held), signal),
  );
  return all.map((replacement, i) => ({ ...replacement, cost: losses[i]! - whole! }));
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
