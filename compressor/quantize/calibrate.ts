import { withResource } from '../../artifact/dispose.ts';
import { architectureOfBlock } from '../checkpoint/architecture.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import { distinctInputs } from '../forward/layer-runner.ts';
import { matricesOfBlock } from '../graph/halves.ts';
import { type BlockMatrix, matrixShape } from '../graph/layer.ts';
import type { Student } from '../student/student.ts';
import { BlockInputs, type BlockInputsOptions, inputOf } from './block-inputs.ts';
import type { BlockCodes, BlockQuantizer, NearestQuantizer, PrecisionOf } from './block-quantizer.ts';
import { feedbackOf } from './feedback.ts';
import { Gptq } from './gptq.ts';
import { Hessian } from './hessian.ts';
import { calibratedBits } from './precision.ts';

export interface CalibrateOptions extends BlockInputsOptions {
  precision: PrecisionOf;
  /** For what is not calibrated. */
  nearest: NearestQuantizer;
  /** Share of the Hessian's mean diagonal that is added to it. @default 0.3 */
  damping?: number;
  /** As for `Gptq`. @default 1 and some smaller ones */
  scales?: readonly number[];
}

/**
 * Thirty times what GPTQ's authors take: texts are short here. Fitted to 1,000 tokens with their 1%, int4 of
 * a 135M model loses as much as rounded to nearest (52.1 and 52.0 of 40.0 perplexity), with this and a choice
 * of scales 48.4; on 8,192 tokens 47.5 and 47.0.
 */
const defaultDamping = 0.3;

/** Smaller scales clip a block's largest value and round all others finer. */
const defaultScales = [1, 0.95, 0.9, 0.85, 0.8];

/**
 * Fits a student's int4 matrices to what flows through them behind the quantized blocks before them
 * (GPTQ). Memory holds one block, its Hessians, and the states of all windows.
 */
export class CalibratedQuantizer implements BlockQuantizer {
  readonly #options: CalibrateOptions;
  readonly #student: Student;
  readonly #inputs: BlockInputs;

  constructor(options: CalibrateOptions) {
    this.#options = options;
    this.#student = options.student;
    this.#inputs = new BlockInputs(options);
  }

  async quantize(block: number): Promise<BlockCodes> {
    const { nearest, precision } = this.#options;
    const own = await nearest.own(block);
    const all = matricesOfBlock(this.#student.layers, block);
    const fitted = all.filter((matrix) => precision(block, matrix).bits === calibratedBits && !own[matrix]);
    const others = all.filter((matrix) => !fitted.includes(matrix));
    return {
      ...(await nearest.quantize(block, others)),
      ...(fitted.length > 0 && (await this.#fit(block, fitted))),
    };
  }

  /** The codes of the given matrices. */
  async #fit(block: number, matrices: BlockMatrix[]): Promise<BlockCodes> {
    const { architecture, widths } = this.#student;
    const a = architectureOfBlock(architecture, widths, block);
    const { precision, damping = defaultDamping, scales = defaultScales, signal } = this.#options;
    const inputs = distinctInputs.filter((input) => matrices.some((matrix) => inputOf(matrix) === input));
    const hessians = new Map(inputs.map((input) => [input, new Hessian(matrixShape(a, input)[1])]));
    const codes: BlockCodes = {};
    try {
      await this.#inputs.collect(block, (seen) => {
        for (const [input, hessian] of hessians) if (seen[input]) hessian.add(seen[input]);
      });
      for (const hessian of hessians.values()) hessian.flush();
      const weights = await this.#student.block(block);
      await withResource(new Gptq(scales), async (gptq) => {
        for (const [input, hessian] of hessians) {
          const feedback = feedbackOf(hessian.values, hessian.size, damping);
          hessian[Symbol.dispose]();
          hessians.delete(input);
          for (const matrix of matrices.filter((one) => inputOf(one) === input)) {
            await betweenSteps(signal);
            const shape = matrixShape(a, matrix);
            const { blockSize } = precision(block, matrix);
            codes[matrix] = gptq.quantize(
              weights.matrices[matrix]!,
              shape,
              calibratedBits,
              blockSize!,
              feedback,
            );
          }
        }
      });
    } finally {
      for (const hessian of hessians.values()) hessian[Symbol.dispose]();
    }
    return codes;
  }

  [Symbol.dispose](): void {
    this.#inputs[Symbol.dispose]();
  }
}
