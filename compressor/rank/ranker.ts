import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import type { TextWindows } from '../evaluate/windows.ts';
import type { GateStep } from '../gates/train-gates.ts';

export interface Ranking {
  /** Per layer of the checkpoint; the higher, the more it matters. Those to be removed are the lowest. */
  scores: number[];
  /** How the gates moved, where gates ranked the layers. */
  gates?: GateStep[];
}

export interface RankRequest extends EvaluateOptions {
  /** Layers to be removed; rankers that look at layers one by one do without. @default 0 */
  remove?: number;
  /** Layers that stay whatever their score. @default [] */
  keep?: readonly number[];
}

/** Ranks the layers of a checkpoint on a text. */
export type Ranker = (checkpoint: Checkpoint, text: TextWindows, request?: RankRequest) => Promise<Ranking>;

/** Layers that may be removed. */
export function candidatesOf({ architecture }: Checkpoint, { keep = [] }: RankRequest): number[] {
  return [...architecture.layers.keys()].filter((layer) => !keep.includes(layer));
}
