import { withResource } from '../../artifact/dispose.ts';
import { type Architecture, architectureOfBlock } from '../checkpoint/architecture.ts';
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import { distinctInputs } from '../forward/layer-runner.ts';
import { matricesOfBlock } from '../graph/halves.ts';
import { type BlockMatrix, matrixShape } from '../graph/layer.ts';
import { blocksInOrder, type Student } from '../student/student.ts';
import { Awq, type ScaledMatrix } from './awq.ts';
import { BlockInputs, type Input, inputOf } from './block-inputs.ts';
import { NearestQuantizer, type PrecisionOf } from './block-quantizer.ts';
import { Hessian } from './hessian.ts';
import { calibratedBits } from './precision.ts';
import { type ChannelScales, scaledStudent } from './scaled-student.ts';

export interface FindScalesOptions {
  checkpoint: Checkpoint;
  student: Student;
  /** Token ids of each window of the calibration text. */
  windows: Int32Array[];
  precision: PrecisionOf;
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/**
 * The scales of every block's inputs that make rounding to nearest cost least (AWQ), on what flows through
 * it behind the rounded blocks before it, in all layers that run it. Blocks that keep some of the
 * checkpoint's own codes have none.
 */
export async function findScales(options: FindScalesOptions): Promise<Map<number, ChannelScales>> {
  const { checkpoint, precision, onProgress, signal } = options;
  const { architecture, widths } = options.student;
  const scales = new Map<number, ChannelScales>();
  const student = scaledStudent(options.student, scales);
  const nearest = new NearestQuantizer(checkpoint, student, precision);
  const rounded = new Set<number>();
  const written = async (block: number) => (rounded.has(block) ? nearest.quantize(block) : undefined);
  const order = blocksInOrder(student);
  await withResource(new BlockInputs({ ...options, student, written }), (inputs) =>
    withResource(new Awq(), async (awq) => {
      for (const [done, block] of order.entries()) {
        const own = await nearest.own(block);
        if (Object.keys(own).length === 0) {
          const a = architectureOfBlock(architecture, widths, block);
          const run = matricesOfBlock(student.layers, block);
          const statistics = await statisticsOf(a, inputs, block, run);
          const weights = await student.block(block);
          const found: ChannelScales = {};
          for (const input of distinctInputs) {
            await betweenSteps(signal);
            const matrices = run
              .filter(
                (matrix) => inputOf(matrix) === input && precision(block, matrix).bits === calibratedBits,
              )
              .map((matrix): ScaledMatrix => {
                const { blockSize } = precision(block, matrix);
                const shape = matrixShape(a, matrix);
                return {
                  weights: weights.matrices[matrix]!,
                  shape,
                  bits: calibratedBits,
                  blockSize: blockSize!,
                };
              });
            if (matrices.length === 0) continue;
            found[input] = awq.choose(matrices, statistics[input]!).scales;
          }
          if (Object.keys(found).length > 0) scales.set(block, found);
        }
        rounded.add(block);
        onProgress?.(done + 1, order.length);
      }
    }),
  );
  return scales;
}

async function statisticsOf(
  a: Architecture,
  inputs: BlockInputs,
  block: number,
  run: readonly BlockMatrix[],
): Promise<Partial<Record<Input, Hessian>>> {
  const hessians: Partial<Record<Input, Hessian>> = {};
  for (const input of distinctInputs)
    if (run.includes(input)) hessians[input] = new Hessian(matrixShape(a, input)[1]);
  try {
    await inputs.collect(block, (seen) => {
      for (const input of distinctInputs) if (seen[input]) hessians[input]!.add(seen[input]);
    });
    for (const hessian of Object.values(hessians)) hessian.flush();
  } finally {
    for (const hessian of Object.values(hessians)) hessian[Symbol.dispose]();
  }
  if (hessians.output) shareAmongQueries(a, hessians.output.magnitudes);
  return hessians;
}

/** Query heads that read one value head have one scale, which its rows are divided by. */
function shareAmongQueries({ heads, kvHeads, headSize }: Architecture, magnitudes: Float64Array): void {
  const queries = heads / kvHeads;
  for (let first = 0; first < heads; first += queries) {
    for (let i = 0; i < headSize; i++) {
      let sum = 0;
      for (let head = first; head < first + queries; head++) sum += magnitudes[head * headSize + i]!;
      for (let head = first; head < first + queries; head++) magnitudes[head * headSize + i] = sum / queries;
    }
  }
}
