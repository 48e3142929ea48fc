/**
 * Lifts the scores of the layers that stay above those of the ones chosen to go, where a ranker chose them
 * together and scores of single layers would say otherwise.
 */
export function keptAbove(scores: readonly number[], removed: readonly number[]): number[] {
  const highest = Math.max(0, ...removed.map((layer) => scores[layer]!));
  return scores.map((score, layer) => (removed.includes(layer) ? score : Math.max(score, highest) + 1e-9));
}
