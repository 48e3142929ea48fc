import { withResource } from '../../artifact/dispose.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { longestOf, type TextWindows } from '../evaluate/windows.ts';
import { betweenSteps, inSteps } from '../forward/between-steps.ts';
import { embed } from '../forward/embed.ts';
import { HeadRunner } from '../forward/head-runner.ts';
import { LayerRunner } from '../forward/layer-runner.ts';
import { PatchRunner } from '../forward/patch-runner.ts';
import { fitPatch } from '../patch/fit.ts';
import { readLayer } from '../weights/block.ts';
import { keptAbove } from './kept-above.ts';
import { meanLosses } from './mean-losses.ts';
import { candidatesOf, type Ranker, type RankRequest } from './ranker.ts';

/** Layers `from` to `to - 1`, and what their removal costs with a linear patch in their place. */
export interface Run {
  from: number;
  to: number;
  /** Rise of the loss in nats a token, on windows the patch was not fitted on. */
  cost: number;
}

/**
 * Runs of neighbouring layers, each replaced by a linear patch: every run is measured by itself with its
 * patch in place, which changes the ranking, and the cheapest runs of `remove` layers together are
 * chosen. Three quarters of the text fit the patches, the rest measures them.
 */
export const runs: Ranker = async (checkpoint, text, request = {}) => {
  const layers = checkpoint.architecture.layers.length;
  const { remove = 0 } = request;
  const measured = await measureRuns(checkpoint, text, request, Math.max(remove, 1));
  const chosen = cheapestRuns(measured, remove, layers);
  const scores = new Array<number>(layers).fill(0);
  for (const { from, to, cost } of measured) if (to === from + 1) scores[from] = cost;
  for (const { from, to, cost } of chosen) scores.fill(cost / (to - from), from, to);
  const removed = chosen.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i));
  return { scores: keptAbove(scores, removed) };
};

/**
 * Disjoint runs of `count` layers in all, at least one layer apart, with the least sum of costs.
 * @returns fewer layers where no runs add up to the count
 */
export function cheapestRuns(all: readonly Run[], count: number, layers: number): Run[] {
  type Best = { cost: number; runs: Run[] };
  // best[n] after layer l: the cheapest way to remove n of the layers before l, layer l - 1 kept or not.
  const free: Best[][] = [[{ cost: 0, runs: [] }]];
  for (let end = 1; end <= layers + 1; end++) {
    // A run that ends at `end - 1` is followed by a kept layer, or by the end of the model.
    const row: Best[] = [...(free[end - 1] ?? [])];
    for (const run of all.filter(({ to }) => to === end - 1)) {
      for (const [n, before] of (free[run.from] ?? []).entries()) {
        if (!before) continue;
        const size = n + run.to - run.from;
        const cost = before.cost + run.cost;
        const known = row[size]?.cost ?? Number.POSITIVE_INFINITY;
        if (size <= count && cost < known) row[size] = { cost, runs: [...before.runs, run] };
      }
    }
    free[end] = row;
  }
  const last = free[layers + 1]!;
  return last.slice(0, count + 1).findLast((best) => best)?.runs ?? [];
}

interface Variant {
  from: number;
  to: number;
  states: Float32Array[];
}

async function measureRuns(
  checkpoint: Checkpoint,
  text: TextWindows,
  request: RankRequest,
  longest: number,
): Promise<Run[]> {
  const split = Math.max(1, Math.floor(text.windows.length * 0.75));
  const held = split < text.windows.length ? split : 0; // one window has to serve both
  const runner = new LayerRunner(checkpoint.architecture, longestOf(text.windows));
  return withResource(runner, () =>
    withResource(new PatchRunner(checkpoint.architecture), async (patches) => {
      const { whole, variants } = await runVariants(
        { checkpoint, runner, patches },
        { windows: text.windows, split, held },
        request,
        longest,
      );
      const targets = text.targets.slice(held);
      const [unchanged, ...costs] = await withResource(new HeadRunner(checkpoint), (head) =>
        meanLosses(head, [whole, ...variants.map(({ states }) => states)], targets, request.signal),
      );
      return variants.map(({ from, to }, i) => ({ from, to, cost: costs[i]! - unchanged! }));
    }),
  );
}

/** All runs advance together through the layers behind them, so that each block is read once. */
async function runVariants(
  { checkpoint, runner, patches }: { checkpoint: Checkpoint; runner: LayerRunner; patches: PatchRunner },
  { windows, split, held }: { windows: Int32Array[]; split: number; held: number },
  request: RankRequest,
  longest: number,
): Promise<{ whole: Float32Array[]; variants: Variant[] }> {
  const { width, layers } = checkpoint.architecture;
  const removable = new Set(candidatesOf(checkpoint, request));
  const variants: Variant[] = [];
  /** The whole model's states before each layer. */
  const before: Float32Array[][] = [await embed(checkpoint, windows)];
  for (let layer = 0; layer < layers.length; layer++) {
    const { block, norms } = await readLayer(checkpoint, layer);
    const advance = (states: Float32Array[]) =>
      inSteps(states, (state) => runner.run(layer, block, norms, state), request.signal);
    for (const variant of variants) variant.states = await advance(variant.states);
    const after = await advance(before[layer]!);
    before.push(after);
    const to = layer + 1;
    for (let from = layer; from >= Math.max(0, to - longest) && removable.has(from); from--) {
      await betweenSteps(request.signal);
      // Before the first layer stand the embeddings: a patch of them sees no other token.
      const patch = fitPatch(width, before[from]!.slice(0, split), after.slice(0, split));
      variants.push({
        from,
        to,
        states: before[from]!.slice(held).map((state) => patches.run(patch, state)),
      });
    }
    if (to > longest) before[to - longest - 1] = []; // no run begins so early any more
    request.onProgress?.(to, layers.length);
  }
  return { whole: before.at(-1)!.slice(held), variants };
}
