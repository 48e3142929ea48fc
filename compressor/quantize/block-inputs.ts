import { longestOf } from '../evaluate/windows.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import { embed } from '../forward/embed.ts';
import { type distinctInputs, LayerRunner, type MatrixInputs } from '../forward/layer-runner.ts';
import { PatchRunner } from '../forward/patch-runner.ts';
import { type BlockMatrix, blockMatrices } from '../graph/layer.ts';
import type { Student } from '../student/student.ts';
import type { BlockWeights } from '../weights/block.ts';
import type { BlockCodes } from './block-quantizer.ts';
import { dequantize } from './blocks.ts';

export interface BlockInputsOptions {
  student: Student;
  /** Token ids of each window of the calibration text. */
  windows: Int32Array[];
  /** The codes of the blocks that are done. */
  written: (block: number) => Promise<BlockCodes | undefined>;
  signal?: AbortSignal;
}

/** A matrix whose input stands for that of all with the same one. */
export type Input = (typeof distinctInputs)[number];

/** Which of the distinct inputs a matrix is multiplied with. */
export function inputOf(matrix: BlockMatrix): Input {
  return matrix === 'up' ? 'gate' : matrix;
}

/**
 * What flows through a student's blocks behind the quantized ones before them, in one pass through the
 * model, so that a block also meets what its predecessors lost. Memory holds one block and the states of
 * all windows.
 */
export class BlockInputs implements Disposable {
  readonly #options: BlockInputsOptions;
  readonly #student: Student;
  readonly #runner: LayerRunner;
  readonly #patches: PatchRunner;
  /** Before layer `#index`, per window; undefined until a block needs them. */
  #states: Float32Array[] | undefined;
  #index = 0;

  constructor(options: BlockInputsOptions) {
    this.#options = options;
    this.#student = options.student;
    this.#runner = new LayerRunner(this.#student.architecture, longestOf(options.windows));
    this.#patches = new PatchRunner(this.#student.architecture);
  }

  /**
   * Shows what the block's matrices are multiplied with, window by window, in all layers that run it, or a half of
   * it; blocks in between run as far as they have codes. Blocks are asked for in the order in which they first run.
   */
  async collect(block: number, see: (inputs: MatrixInputs) => void): Promise<void> {
    const { layers } = this.#student;
    await this.#advanceTo(layers.findIndex((layer) => layer.block === block));
    const last = layers.findLastIndex((layer) => layer.block === block);
    let states = this.#states!;
    for (let index = this.#index; index <= last; index++) {
      states = await this.#run(index, states, layers[index]!.block === block ? see : undefined);
    }
  }

  /** To the states before a layer; every block up to there is done. */
  async #advanceTo(index: number): Promise<void> {
    this.#states ??= await embed(this.#student, this.#options.windows);
    for (; this.#index < index; this.#index++) {
      this.#states = await this.#run(this.#index, this.#states);
    }
  }

  /** States behind a layer. */
  async #run(
    index: number,
    states: Float32Array[],
    see?: (inputs: MatrixInputs) => void,
  ): Promise<Float32Array[]> {
    const { source, block } = this.#student.layers[index]!;
    const weights = await this.#weights(block);
    const own = await this.#student.own(index);
    const patch = await this.#student.patch(index);
    const next: Float32Array[] = [];
    for (const state of states) {
      await betweenSteps(this.#options.signal);
      let out: Float32Array;
      if (see) {
        const tapped = this.#runner.runTapped(source, weights, own, state);
        see(tapped.inputs);
        out = tapped.out;
      } else {
        out = this.#runner.run(source, weights, own, state);
      }
      next.push(patch ? this.#patches.run(patch, out) : out);
    }
    return next;
  }

  /** What the block's codes stand for, where it has them, else its own weights. */
  async #weights(block: number): Promise<BlockWeights> {
    const weights = await this.#student.block(block);
    const codes = (await this.#options.written(block)) ?? {};
    const matrices = { ...weights.matrices }; // the student's own may be what it gave
    for (const matrix of blockMatrices) {
      const quantized = codes[matrix];
      if (quantized) matrices[matrix] = dequantize(quantized, matrices[matrix]!.length / quantized.outputs);
    }
    return { ...weights, matrices };
  }

  [Symbol.dispose](): void {
    this.#runner[Symbol.dispose]();
    this.#patches[Symbol.dispose]();
  }
}
