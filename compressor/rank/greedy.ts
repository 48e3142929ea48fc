import { withResource } from '../../artifact/dispose.ts';
import { longestOf, type TextWindows } from '../evaluate/windows.ts';
import { HeadRunner } from '../forward/head-runner.ts';
import { LayerRunner } from '../forward/layer-runner.ts';
import { keptAbove } from './kept-above.ts';
import { lossesWithout } from './loss.ts';
import { candidatesOf, type Ranker } from './ranker.ts';

/**
 * Greedy removal (SLEB, arXiv 2402.09025): the layer whose removal costs least goes, then all others are
 * measured again on what is left, until enough are gone. A removed layer's score is the loss's rise, in
 * nats a token, with it and all that went before it left out.
 */
export const greedy: Ranker = async (checkpoint, text: TextWindows, request = {}) => {
  const { remove = 0, signal, onProgress } = request;
  const layers = checkpoint.architecture.layers.length;
  const removable = candidatesOf(checkpoint, request);
  let kept = checkpoint.architecture.layers.map((_, layer) => ({ layer }));
  let candidates = kept.filter(({ layer }) => removable.includes(layer));
  const scores = new Array<number>(layers).fill(0);
  const rounds = Math.min(Math.max(remove, 1), candidates.length);
  await withResource(new LayerRunner(checkpoint.architecture, longestOf(text.windows)), (runner) =>
    withResource(new HeadRunner(checkpoint), async (head) => {
      let whole: number | undefined;
      for (let round = 0; round < rounds; round++) {
        const measured = await lossesWithout({ checkpoint, runner, head }, kept, candidates, text, {
          onProgress: (done, total) => onProgress?.(round * total + done, rounds * total),
          ...(signal && { signal }),
        });
        whole ??= measured.whole;
        for (const [i, { layer }] of candidates.entries()) scores[layer] = measured.without[i]! - whole;
        if (round >= remove) break;
        const gone = candidates.reduce((best, part) =>
          scores[part.layer]! < scores[best.layer]! ? part : best,
        );
        kept = kept.filter((part) => part !== gone);
        candidates = candidates.filter((part) => part !== gone);
      }
    }),
  );
  const left = new Set(kept.map(({ layer }) => layer));
  const removed = [...scores.keys()].filter((layer) => !left.has(layer));
  return { scores: keptAbove(scores, removed) };
};
