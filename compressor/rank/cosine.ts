import { nearestRun } from './nearest-run.ts';
import type { Ranker } from './ranker.ts';

/**
 * The one run of neighbours that turns the hidden state least, by 1 - the cosine of what goes into its first layer and
 * what comes out of its last (LLM-Streamline, arXiv 2403.19135). It is a layer longer than what goes: its first stays,
 * for `--patch block` to train in the place of all.
 */
export const cosine: Ranker = (checkpoint, text, request = {}) =>
  nearestRun(checkpoint, text, request, { stays: 1, distance: (cosine) => 1 - cosine });
