import { join } from 'node:path';
import { UsageError } from '../../artifact/errors.ts';
import type { MatrixKind, Precision } from '../../artifact/manifest.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { blockMatrices } from '../graph/layer.ts';
import type { BlockCodes, BlockQuantizer } from '../quantize/block-quantizer.ts';
import { nearestInCells, roundToScales } from '../quantize/cells.ts';
import { cure } from '../train/cure.ts';
import { changeMatrices } from './change-matrices.ts';
import type { MakeStudentOptions } from './make-student.ts';
import type { Student } from './student.ts';

/** Of a fold's measurements: the model trained to round well, in its codes. */
export const awareStage = 'quantization-aware';

/** How a student is trained to round well. */
export type AwareTraining = NonNullable<MakeStudentOptions['cure']>;

/** @throws UsageError where nothing is rounded */
export function checkAware(precision: Record<MatrixKind, Precision>): void {
  if (blockMatrices.every((matrix) => precision[matrix].bits === 32))
    throw new UsageError(
      '--quantize-aware trains weights to round well, and --quantize none rounds nothing.',
    );
}

/**
 * Distils a student further while its blocks run in codes: see `RoundedBlocks`. It starts at the codes it is given, so
 * that what they were fitted to is not lost, and keeps their scales.
 * @param codes by block
 * @param folder where the training keeps its state
 */
export async function trainAware(
  checkpoint: Checkpoint,
  student: Student,
  codes: readonly BlockCodes[],
  training: AwareTraining,
  { folder, signal }: { folder: string; signal?: AbortSignal },
): Promise<Student> {
  const how = { ...training, codes, folder: join(folder, 'cure'), ...(signal && { signal }) };
  return (await cure(checkpoint, withinCells(student, codes), how)).student;
}

/** The student whose weights are the nearest that round to the codes. */
function withinCells(student: Student, codes: readonly BlockCodes[]): Student {
  const within = changeMatrices(student, (block, matrix, weights) => {
    const own = codes[block]![matrix];
    return own ? nearestInCells(weights, own, weights.length / own.outputs) : weights;
  });
  return { ...within, unchanged: () => undefined };
}

/** Rounds a student that was trained to it: with the scales it was trained with. */
export class AwareQuantizer implements BlockQuantizer {
  readonly #student: Student;
  readonly #codes: readonly BlockCodes[];

  constructor(student: Student, codes: readonly BlockCodes[]) {
    this.#student = student;
    this.#codes = codes;
  }

  async quantize(block: number): Promise<BlockCodes> {
    const { matrices } = await this.#student.block(block);
    const rounded: BlockCodes = {};
    for (const matrix of blockMatrices) {
      const like = this.#codes[block]![matrix];
      const weights = matrices[matrix];
      if (like && weights) rounded[matrix] = roundToScales(weights, like, weights.length / like.outputs);
    }
    return rounded;
  }

  [Symbol.dispose](): void {}
}
