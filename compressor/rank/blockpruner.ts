import { withResource } from '../../artifact/dispose.ts';
import { longestOf } from '../evaluate/windows.ts';
import { HeadRunner } from '../forward/head-runner.ts';
import { LayerRunner } from '../forward/layer-runner.ts';
import { HalfRemoval } from './half-removal.ts';
import { lossesWithout } from './loss.ts';
import type { Ranker } from './ranker.ts';

/**
 * Greedy removal of halves (BlockPruner, arXiv 2406.10594): the attention or MLP whose absence raises perplexity least
 * goes, then all others are measured again on what is left. A removed half's score is the loss's rise, in nats a
 * token, with it and all that went before it left out. Costs layers passes through the model for each half that goes.
 */
export const blockpruner: Ranker = async (checkpoint, text, request = {}) => {
  const { signal, onProgress } = request;
  const removal = new HalfRemoval(checkpoint.architecture, request);
  const { all } = removal;
  const scores = new Array<number>(all.length).fill(0);
  await withResource(new LayerRunner(checkpoint.architecture, longestOf(text.windows)), (runner) =>
    withResource(new HeadRunner(checkpoint), async (head) => {
      let kept = all;
      let whole: number | undefined;
      let candidates = removal.candidates();
      // Where nothing is to go, all are measured once.
      for (let round = 0; round === 0 || candidates.length > 0; round++) {
        const tried = candidates.length > 0 ? candidates : removal.removable;
        const rounds = round + removal.roundsLeft;
        const measured = await lossesWithout({ checkpoint, runner, head }, kept, tried, text, {
          onProgress: (done, total) => onProgress?.(round * total + done, rounds * total),
          ...(signal && { signal }),
        });
        whole ??= measured.whole;
        for (const [i, part] of tried.entries()) scores[all.indexOf(part)] = measured.without[i]! - whole;
        if (candidates.length === 0) break;
        const least = Math.min(...measured.without);
        const gone = tried[measured.without.indexOf(least)];
        if (gone === undefined) break; // no numbers: told of by who reads the scores
        removal.removed.push(gone);
        kept = kept.filter((part) => part !== gone);
        candidates = removal.candidates();
      }
    }),
  );
  return removal.ranking(scores);
};
