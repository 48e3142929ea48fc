import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import type { TextWindows } from '../evaluate/windows.ts';

/** Scores every layer of a checkpoint on a text: the higher, the more it matters. */
export type Ranker = (
  checkpoint: Checkpoint,
  text: TextWindows,
  options?: EvaluateOptions,
) => Promise<number[]>;
