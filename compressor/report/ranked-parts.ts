import { halves } from '../../artifact/manifest.ts';
import type { CompareResult } from '../compare/row.ts';
import { halfNames } from '../graph/halves.ts';

/** What a ranking looked at: a layer, or one half of it. */
export interface RankedPart {
  /** `layer 3`, `attention of layer 3` */
  name: string;
  /** `3`; of halves `3a` and `3m`. */
  label: string;
  layer: number;
  isKept: boolean;
  score: number;
}

/** In the order of depth, attention before MLP, as gates are; none where nothing was ranked. */
export function rankedParts({ layers, scores = [], halfScores }: CompareResult['plan']): RankedPart[] {
  const planned = new Map(layers.map((layer) => [layer.source, layer]));
  if (!halfScores) {
    return scores.map((score, layer) => ({
      ...{ name: `layer ${layer}`, label: String(layer), layer, isKept: planned.has(layer), score },
    }));
  }
  return scores.flatMap((_, layer) =>
    halves.map((half) => {
      const run = planned.get(layer);
      return {
        name: `${halfNames[half]} of layer ${layer}`,
        label: `${layer}${half.charAt(0)}`,
        layer,
        isKept: run !== undefined && (run.half === undefined || run.half === half),
        score: halfScores[half][layer]!,
      };
    }),
  );
}
