import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { Pieces } from '../evaluate/pieces.ts';
import type { EvaluateOptions } from '../evaluate/planned.ts';

/** Scores every layer of a checkpoint on a text: the higher, the more it matters. */
export type Ranker = (checkpoint: Checkpoint, text: Pieces, options?: EvaluateOptions) => Promise<number[]>;
