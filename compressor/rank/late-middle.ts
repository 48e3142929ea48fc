import { candidatesOf, type Ranker } from './ranker.ts';

/** Where the run ends, as a share of the layers that may go: the last quarter shapes the answer. */
const end = 0.75;

/** One run of neighbours in the late middle, whatever the model (Just CHOP, arXiv 2305.14864). Reads no weights. */
export const lateMiddle: Ranker = async (checkpoint, _text, request = {}) => {
  const candidates = candidatesOf(checkpoint, request);
  const remove = Math.min(request.remove ?? 0, candidates.length);
  const last = Math.max(Math.round(end * candidates.length), remove);
  const gone = new Set(candidates.slice(last - remove, last));
  return { scores: checkpoint.architecture.layers.map((_, layer) => (gone.has(layer) ? 0 : 1)) };
};
