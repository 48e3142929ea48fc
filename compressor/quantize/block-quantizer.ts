import type { Precision } from '../../artifact/manifest.ts';
import { architectureOfBlock } from '../checkpoint/architecture.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { matricesOfBlock } from '../graph/halves.ts';
import { type BlockMatrix, matrixShape } from '../graph/layer.ts';
import type { Student } from '../student/student.ts';
import { type QuantizedMatrix, roundToNearest } from './blocks.ts';
import { ownCodes } from './own-form.ts';

/** A block's matrices in codes; those that stay in float32 are left out. */
export type BlockCodes = Partial<Record<BlockMatrix, QuantizedMatrix>>;

export type PrecisionOf = (block: number, matrix: BlockMatrix) => Precision;

/** Turns a student's blocks into codes. */
export interface BlockQuantizer extends Disposable {
  /** Blocks are asked for in the order in which they first run, but for those that are written already. */
  quantize(block: number): Promise<BlockCodes>;
}

/** The checkpoint's own codes where they have the wanted form, else the weights rounded to nearest. */
export class NearestQuantizer implements BlockQuantizer {
  readonly #checkpoint: Checkpoint;
  readonly #student: Student;
  readonly #precision: PrecisionOf;

  constructor(checkpoint: Checkpoint, student: Student, precision: PrecisionOf) {
    this.#checkpoint = checkpoint;
    this.#student = student;
    this.#precision = precision;
  }

  /** @param matrices those wanted. @default all that a layer runs */
  async quantize(
    block: number,
    matrices: readonly BlockMatrix[] = matricesOfBlock(this.#student.layers, block),
  ): Promise<BlockCodes> {
    const codes: BlockCodes = await this.own(block, matrices);
    const { architecture, widths } = this.#student;
    const a = architectureOfBlock(architecture, widths, block);
    for (const matrix of matrices) {
      const { bits, blockSize } = this.#precision(block, matrix);
      if (bits === 32 || codes[matrix]) continue;
      const weights = await this.#student.matrix(block, matrix);
      codes[matrix] = roundToNearest(weights, matrixShape(a, matrix), bits, blockSize!);
    }
    return codes;
  }

  /** The checkpoint's own codes alone. */
  async own(
    block: number,
    matrices: readonly BlockMatrix[] = matricesOfBlock(this.#student.layers, block),
  ): Promise<BlockCodes> {
    const codes: BlockCodes = {};
    for (const matrix of matrices) {
      const precision = this.#precision(block, matrix);
      const own =
        precision.bits === 32
          ? undefined
          : await ownCodes(this.#checkpoint, this.#student, block, matrix, precision);
      if (own) codes[matrix] = own;
    }
    return codes;
  }

  [Symbol.dispose](): void {}
}
