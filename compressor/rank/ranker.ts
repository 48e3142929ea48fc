import type { Half } from '../../artifact/manifest.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import type { TextWindows } from '../evaluate/windows.ts';
import type { GateStep } from '../gates/train-gates.ts';

/** One half of a layer of the checkpoint. */
export interface LayerHalf {
  layer: number;
  half: Half;
}

export interface Ranking {
  /** Per layer of the checkpoint; the higher, the more it matters. Those to be removed are the lowest. */
  scores: number[];
  /** Per layer, how much of its width it should keep, where that is another matter than who goes. @default the scores */
  importance?: number[];
  /** How the gates moved, where gates ranked the layers. */
  gates?: GateStep[];
  /** Where halves of layers are ranked apart from one another: which of them go, and per layer what each half matters. */
  halves?: { scores: Record<Half, number[]>; removed: readonly LayerHalf[] };
}

export interface RankRequest extends EvaluateOptions {
  /** Layers to be removed; rankers that look at layers one by one do without. @default 0 */
  remove?: number;
  /** Where halves of layers are ranked: the share of all blocks' parameters to be removed. @default that of `remove` */
  share?: number;
  /** Where halves of layers are ranked: whether enough are gone, instead of a share. */
  until?: (removed: readonly LayerHalf[]) => boolean;
  /** Layers that stay whatever their score. @default [] */
  keep?: readonly number[];
}

/** Ranks the layers of a checkpoint on a text. */
export type Ranker = (checkpoint: Checkpoint, text: TextWindows, request?: RankRequest) => Promise<Ranking>;

/** Layers that may be removed. */
export function candidatesOf({ architecture }: Checkpoint, { keep = [] }: RankRequest): number[] {
  return [...architecture.layers.keys()].filter((layer) => !keep.includes(layer));
}
