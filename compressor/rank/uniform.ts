import { candidatesOf, type Ranker } from './ranker.ts';

/** Layers at equal distances go: a control, which reads no weights. */
export const uniform: Ranker = async (checkpoint, _text, request = {}) => {
  const candidates = candidatesOf(checkpoint, request);
  const { remove = 0 } = request;
  const scores = new Array<number>(checkpoint.architecture.layers.length).fill(1);
  // The middles of `remove` equal parts.
  for (let i = 0; i < Math.min(remove, candidates.length); i++) {
    scores[candidates[Math.floor(((i + 0.5) * candidates.length) / remove)]!] = 0;
  }
  return { scores };
};
