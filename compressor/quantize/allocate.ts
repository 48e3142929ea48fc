import { withResource } from '../../artifact/dispose.ts';
import { UsageError } from '../../artifact/errors.ts';
import type { Precision } from '../../artifact/manifest.ts';
import { architectureOfBlock } from '../checkpoint/architecture.ts';
import { longestOf } from '../evaluate/windows.ts';
import { betweenSteps, inSteps } from '../forward/between-steps.ts';
import { embed } from '../forward/embed.ts';
import { LayerRunner } from '../forward/layer-runner.ts';
import { PatchRunner } from '../forward/patch-runner.ts';
import { matricesOf, matricesOfBlock } from '../graph/halves.ts';
import { type BlockMatrix, matrixShape } from '../graph/layer.ts';
import { matrixBytes } from '../plan/sizes.ts';
import { blocksInOrder, type Student } from '../student/student.ts';
import { dequantize, roundToNearest } from './blocks.ts';

export interface AllocateOptions {
  student: Student;
  /** Token ids of each window of the calibration text. */
  windows: Int32Array[];
  /** What each kind is stored in at least. */
  precision: (matrix: BlockMatrix) => Precision;
  /** Mean bits of a block weight that may be spent, scales included. */
  bits: number;
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/** One block's matrix, and what rounding it to int4 does to the hidden states. */
interface Candidate {
  block: number;
  matrix: BlockMatrix;
  /** Mean over tokens of the squared change behind the layer, relative to the state itself. */
  noise: number;
  /** Bytes that int8 costs more. */
  bytes: number;
}

/**
 * Chooses the int4 matrices that are worth their bytes in int8: those whose rounding turns the hidden states
 * behind their layers the most, for each byte, until the budget is spent. Every state is measured against
 * its own size, as the norm that reads it sees it.
 * @returns the chosen matrices of each block
 * @throws UsageError where the budget is less than int4 for all
 */
export async function allocate(options: AllocateOptions): Promise<Map<number, BlockMatrix[]>> {
  const { student, precision, bits } = options;
  const shapeOf = (block: number, matrix: BlockMatrix) =>
    matrixShape(architectureOfBlock(student.architecture, student.widths, block), matrix);
  const int8 = (matrix: BlockMatrix): Precision => ({ ...precision(matrix), bits: 8 });
  let weights = 0;
  let bytes = 0;
  for (const block of blocksInOrder(student)) {
    for (const matrix of matricesOfBlock(student.layers, block)) {
      const shape = shapeOf(block, matrix);
      weights += shape[0] * shape[1];
      bytes += matrixBytes(shape, precision(matrix));
    }
  }
  let left = (weights * bits) / 8 - bytes;
  if (left < 0) {
    const least = Math.ceil((800 * bytes) / weights) / 100;
    throw new UsageError(
      `--quantize auto:${bits} is less than int4 takes, which is ${least} bits a weight with its scales here. ` +
        `Ask for more than auto:${least}.`,
    );
  }
  const chosen = new Map<number, BlockMatrix[]>();
  const worth = (candidate: Candidate) => candidate.noise / candidate.bytes;
  const candidates = (await noises(options)).map((one): Candidate => {
    const shape = shapeOf(one.block, one.matrix);
    const more = matrixBytes(shape, int8(one.matrix)) - matrixBytes(shape, precision(one.matrix));
    return { ...one, bytes: more };
  });
  for (const { block, matrix, bytes: cost } of candidates.sort((x, y) => worth(y) - worth(x))) {
    if (cost > left) continue;
    left -= cost;
    chosen.set(block, [...(chosen.get(block) ?? []), matrix]);
  }
  return chosen;
}

async function noises(options: AllocateOptions): Promise<Omit<Candidate, 'bytes'>[]> {
  const { student, windows, precision, onProgress, signal } = options;
  const { architecture: a, layers } = student;
  const sums = new Map<string, Omit<Candidate, 'bytes'>>();
  const runner = new LayerRunner(a, longestOf(windows));
  const patches = new PatchRunner(a);
  await withResource(runner, () =>
    withResource(patches, async () => {
      let states = await embed(student, windows);
      for (const [index, { source, block, half }] of layers.entries()) {
        const weights = await student.block(block);
        const own = await student.own(index);
        const patch = await student.patch(index);
        const outs = await inSteps(states, (state) => runner.run(source, weights, own, state), signal);
        for (const matrix of matricesOf(half)) {
          if (precision(matrix).bits !== 4) continue;
          const key = `${block} ${matrix}`;
          const sum = sums.get(key) ?? { block, matrix, noise: 0 };
          sums.set(key, sum);
          const shape = matrixShape(architectureOfBlock(a, student.widths, block), matrix);
          const codes = roundToNearest(weights.matrices[matrix]!, shape, 4, precision(matrix).blockSize!);
          const rounded = {
            ...weights,
            matrices: { ...weights.matrices, [matrix]: dequantize(codes, shape[1]) },
          };
          for (const [i, state] of states.entries()) {
            await betweenSteps(signal);
            sum.noise += change(outs[i]!, runner.run(source, rounded, own, state), a.width);
          }
        }
        states = outs.map((out) => (patch ? patches.run(patch, out) : out));
        onProgress?.(index + 1, layers.length);
      }
    }),
  );
  return [...sums.values()];
}

/** Sum over tokens of |x - y|² / |x|². */
function change(x: Float32Array, y: Float32Array, width: number): number {
  let total = 0;
  for (let start = 0; start < x.length; start += width) {
    let [difference, size] = [0, 0];
    for (let i = start; i < start + width; i++) {
      difference += (x[i]! - y[i]!) ** 2;
      size += x[i]! ** 2;
    }
    total += size === 0 ? 0 : difference / size;
  }
  return total;
}
