import type { AdapterOrchestra } from '../adapter/adapter-orchestra.ts';
import type { AdapterPools } from '../adapter/adapter-pools.ts';
import type { Architecture } from '../checkpoint/architecture.ts';
import type { CheckpointTensor } from '../checkpoint/checkpoint.ts';
import type { BlockMatrix } from '../graph/layer.ts';
import type { PlannedLayer } from '../plan/plan.ts';
import type { BlockWeights } from '../weights/block.ts';
import type { OwnWeights } from '../weights/own.ts';

/**
 * The model that a fold makes, in float32: what is evaluated before it is stored, trained by the cure and
 * written by the export. Nothing is read before it is asked for.
 */
export interface Student extends Vocabulary {
  /**
   * Layers in depth order: each runs `block` (counted from 0), or a `half` of it, with norms of its own. `source` is
   * the checkpoint's layer in whose place it stands, which decides window and rotary base.
   */
  readonly layers: readonly PlannedLayer[];
  /** Length of each block's MLP activations, where some are shorter than the checkpoint's. @default the checkpoint's */
  readonly widths?: readonly number[] | undefined;
  /** The weights that the layers of one group run. */
  block(block: number): Promise<BlockWeights>;
  /** One of the block's matrices alone, row-major [outputs, inputs], of its own width: one that a layer runs. */
  matrix(block: number, matrix: BlockMatrix): Promise<Float32Array>;
  /** [outputs of qkv], where the architecture has one and a layer runs the block's attention. */
  qkvBias(block: number): Promise<Float32Array | undefined>;
  /** Of a layer that runs one half there are the norms of that one. @param index in `layers` */
  own(index: number): Promise<OwnWeights>;
  /** What the low-rank matrices among layers' own weights are made of, where they share shards: trained for them. */
  readonly pools?: AdapterPools | undefined;
  /** What the low-rank matrices are made of, where they are trained together instead: they are stored as they run. */
  readonly orchestra?: AdapterOrchestra | undefined;
  /** What stands in for the layers removed after this one, if anything does. */
  patch(index: number): Promise<LinearPatch | undefined>;
  /** The checkpoint's layer whose weights the block still is, bit for bit. */
  unchanged(block: number): number | undefined;
}

/** Embedding, head and the norm before it. `Checkpoint` has this form too. */
export interface Vocabulary {
  readonly architecture: Architecture;
  tensor(role: 'embedding' | 'head' | 'norm'): CheckpointTensor;
}

/**
 * A linear map in the place of removed layers: h + weight h + bias. (ReplaceMe, arXiv 2505.02819.)
 */
export interface LinearPatch {
  /** Row-major [width outputs, width inputs]. */
  weight: Float32Array;
  /** [width] */
  bias: Float32Array;
}

/** The blocks in the order in which they first run. */
export function blocksInOrder(student: Pick<Student, 'layers'>): number[] {
  return [...new Set(student.layers.map(({ block }) => block))];
}

/** Number of distinct blocks. */
export function blocksOf(student: Pick<Student, 'layers'>): number {
  return new Set(student.layers.map(({ block }) => block)).size;
}
