import { withResource } from '../../artifact/dispose.ts';
import type { Precision } from '../../artifact/manifest.ts';
import { longestOf } from '../evaluate/windows.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import { embed } from '../forward/embed.ts';
import { distinctInputs, LayerRunner } from '../forward/layer-runner.ts';
import { PatchRunner } from '../forward/patch-runner.ts';
import { type BlockMatrix, blockMatrices, matrixShape } from '../graph/layer.ts';
import type { Student } from '../student/student.ts';
import type { BlockWeights } from '../weights/block.ts';
import { dequantize, type QuantizedMatrix, roundToNearest } from './blocks.ts';
import { feedbackOf } from './feedback.ts';
import { Gptq } from './gptq.ts';
import { Hessian } from './hessian.ts';

export interface CalibrateOptions {
  /** Token ids of each window of the calibration text. */
  windows: Int32Array[];
  precision: (block: number, matrix: BlockMatrix) => Precision;
  /** Matrices that have their codes: the checkpoint's own, or of an interrupted run. */
  given?: (block: number) => Promise<QuantizedMatrices>;
  /** Share of the Hessian's mean diagonal that is added to it. @default 0.01 */
  damping?: number;
  /** As for `Gptq`. */
  scales?: readonly number[];
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

export type QuantizedMatrices = Partial<Record<BlockMatrix, QuantizedMatrix>>;

/** Errors are fitted to the inputs where they matter; those of int8 are too small to. */
const calibratedBits = 4;

/** Quantizes a student's blocks, in the order in which they first run, on what flows through them. */
export async function* calibratedBlocks(
  student: Student,
  options: CalibrateOptions,
): AsyncGenerator<{ block: number; matrices: QuantizedMatrices }> {
  const runner = new LayerRunner(student.architecture, longestOf(options.windows));
  const patches = new PatchRunner(student.architecture);
  const calibration = new Calibration(student, runner, patches, options);
  try {
    yield* calibration.run();
  } finally {
    runner[Symbol.dispose]();
    patches[Symbol.dispose]();
  }
}

/**
 * One pass through the model. The states before each layer are those behind the quantized layers before it,
 * so that a block also makes up for what its predecessors lost.
 */
class Calibration {
  readonly #student: Student;
  readonly #runner: LayerRunner;
  readonly #patches: PatchRunner;
  readonly #options: CalibrateOptions;

  constructor(student: Student, runner: LayerRunner, patches: PatchRunner, options: CalibrateOptions) {
    this.#student = student;
    this.#runner = runner;
    this.#patches = patches;
    this.#options = options;
  }

  async *run(): AsyncGenerator<{ block: number; matrices: QuantizedMatrices }> {
    const { layers } = this.#student;
    let states = await embed(this.#student, this.#options.windows);
    const settled = new Map<number, QuantizedMatrices>();
    for (const [index, { block }] of layers.entries()) {
      if (!settled.has(block)) {
        const matrices = await this.#quantize(index, block, states, settled);
        settled.set(block, matrices);
        yield { block, matrices };
      }
      if (index === layers.length - 1) break;
      states = await this.#advance(index, states, await this.#weights(block, settled));
      this.#options.onProgress?.(index + 1, layers.length);
    }
    this.#options.onProgress?.(layers.length, layers.length);
  }

  /** @param states before layer `first`, the first that runs the block */
  async #quantize(
    first: number,
    block: number,
    states: Float32Array[],
    settled: Map<number, QuantizedMatrices>,
  ): Promise<QuantizedMatrices> {
    const { architecture: a } = this.#student;
    const { precision, given, damping = 0.01, scales } = this.#options;
    const matrices: QuantizedMatrices = { ...(await given?.(block)) };
    const open = blockMatrices.filter((matrix) => !matrices[matrix] && precision(block, matrix).bits !== 32);
    if (open.length === 0) return matrices;
    const fitted = open.filter((matrix) => precision(block, matrix).bits === calibratedBits);
    const hessians = new Map(
      distinctInputs
        .filter((input) => fitted.some((matrix) => inputOf(matrix) === input))
        .map((input) => [input, new Hessian(matrixShape(a, input)[1])]),
    );
    if (hessians.size > 0) await this.#collect(first, block, states, settled, hessians);
    const weights = await this.#student.block(block);
    await withResource(new Gptq(scales), async (gptq) => {
      for (const input of distinctInputs) {
        const hessian = hessians.get(input);
        hessian?.flush();
        const feedback = hessian && feedbackOf(hessian.values, hessian.size, damping);
        hessian?.[Symbol.dispose]();
        for (const matrix of open.filter((one) => inputOf(one) === input)) {
          await betweenSteps(this.#options.signal);
          const { bits, blockSize } = precision(block, matrix) as { bits: 4 | 8; blockSize: number };
          const shape = matrixShape(a, matrix);
          matrices[matrix] =
            feedback && bits === calibratedBits
              ? gptq.quantize(weights.matrices[matrix], shape, bits, blockSize, feedback)
              : roundToNearest(weights.matrices[matrix], shape, bits, blockSize);
        }
      }
    });
    return matrices;
  }

  /** Adds up the inputs of all layers that run the block; those in between run as far as they are quantized. */
  async #collect(
    first: number,
    block: number,
    states: Float32Array[],
    settled: Map<number, QuantizedMatrices>,
    hessians: Map<(typeof distinctInputs)[number], Hessian>,
  ): Promise<void> {
    const { layers } = this.#student;
    const last = layers.findLastIndex((layer) => layer.block === block);
    let at = states;
    for (let index = first; index <= last; index++) {
      const layer = layers[index]!;
      const weights = await this.#weights(layer.block, settled);
      if (layer.block !== block) {
        at = await this.#advance(index, at, weights);
        continue;
      }
      const norms = await this.#student.norms(index);
      const patch = await this.#student.patch(index);
      const next: Float32Array[] = [];
      for (const state of at) {
        await betweenSteps(this.#options.signal);
        const { out, inputs } = this.#runner.runTapped(layer.source, weights, norms, state);
        for (const [input, hessian] of hessians) hessian.add(inputs[input]);
        next.push(patch ? this.#patches.run(patch, out) : out);
      }
      at = next;
    }
  }

  async #advance(index: number, states: Float32Array[], weights: BlockWeights): Promise<Float32Array[]> {
    const norms = await this.#student.norms(index);
    const patch = await this.#student.patch(index);
    const next: Float32Array[] = [];
    for (const state of states) {
      await betweenSteps(this.#options.signal);
      const out = this.#runner.run(this.#student.layers[index]!.source, weights, norms, state);
      next.push(patch ? this.#patches.run(patch, out) : out);
    }
    return next;
  }

  /** What the block's codes stand for, where it has them, else its own weights. */
  async #weights(block: number, settled: Map<number, QuantizedMatrices>): Promise<BlockWeights> {
    const weights = await this.#student.block(block);
    for (const [matrix, quantized] of Object.entries(settled.get(block) ?? {})) {
      const inputs = matrixShape(this.#student.architecture, matrix as BlockMatrix)[1];
      weights.matrices[matrix as BlockMatrix] = dequantize(quantized, inputs);
    }
    return weights;
  }
}

function inputOf(matrix: BlockMatrix): (typeof distinctInputs)[number] {
  return matrix === 'up' ? 'gate' : matrix;
}
