import { withResource } from '../../artifact/dispose.ts';
import type { EvaluateOptions } from '../evaluate/student.ts';
import { betweenSteps } from '../forward/between-steps.ts';
import { halfOfBlock, matricesOf } from '../graph/halves.ts';
import { BlockInputs } from '../quantize/block-inputs.ts';
import { Hessian } from '../quantize/hessian.ts';
import { blocksInOrder, type Student } from '../student/student.ts';
import { type NarrowedMlp, nystrom, pickRows } from './nystrom.ts';

/** Where narrowed MLPs are kept: a model's own would be as much memory as the model. */
export interface NarrowedBlocks {
  find(block: number): Promise<NarrowedMlp | undefined>;
  keep(block: number, narrowed: NarrowedMlp): Promise<void>;
}

/**
 * Narrows the MLPs of a student's blocks, from the first that runs on, each to what flows through it behind the
 * narrowed ones before it, in all layers that run it. Blocks that are kept already are not fitted again.
 * @param widths by block, multiples of what kernels want; a block as wide as it is stays as it is, bit for bit
 * @param windows token ids of each window of the text; some tokens for each activation, or the fit is to the text
 */
export async function narrowStudent(
  student: Student,
  widths: readonly number[],
  windows: Int32Array[],
  blocks: NarrowedBlocks,
  { onProgress, signal }: EvaluateOptions = {},
): Promise<Student> {
  const whole = student.architecture.intermediateSize;
  const narrower = blocksInOrder(student).filter(
    (block) => widths[block]! < whole && halfOfBlock(student.layers, block) !== 'attention',
  );
  const narrowed = withNarrowedBlocks(student, widths, blocks);
  const written = async () => undefined;
  await withResource(
    new BlockInputs({ student: narrowed, windows, written, ...(signal && { signal }) }),
    async (inputs) => {
      for (const [done, block] of narrower.entries()) {
        onProgress?.(done, narrower.length);
        if (await blocks.find(block)) continue;
        const correlation = new Hessian(whole);
        try {
          await inputs.collect(block, ({ down }) => {
            if (down) correlation.add(down); // a layer may run the block's attention alone
          });
          correlation.flush();
        } finally {
          correlation[Symbol.dispose]();
        }
        await betweenSteps(signal);
        const down = await student.matrix(block, 'down');
        await blocks.keep(block, nystrom(correlation.values, whole, down, widths[block]!));
      }
    },
  );
  onProgress?.(narrower.length, narrower.length);
  return narrowed;
}

/** The student with those MLPs in its blocks, as far as there are any. */
function withNarrowedBlocks(student: Student, widths: readonly number[], blocks: NarrowedBlocks): Student {
  const { width, intermediateSize: whole } = student.architecture;
  const ofMlp = matricesOf('mlp');
  const find = (block: number) => (widths[block]! < whole ? blocks.find(block) : undefined);
  return {
    ...student,
    widths,
    async matrix(block, matrix) {
      const narrowed = ofMlp.includes(matrix) ? await find(block) : undefined;
      if (!narrowed) return student.matrix(block, matrix);
      if (matrix === 'down') return narrowed.down;
      return pickRows(await student.matrix(block, matrix), width, narrowed.kept);
    },
    async block(block) {
      const weights = await student.block(block);
      const narrowed = await find(block);
      if (!narrowed) return weights;
      const pick = (matrix: 'gate' | 'up') => pickRows(weights.matrices[matrix]!, width, narrowed.kept);
      const mlp = { gate: pick('gate'), up: pick('up'), down: narrowed.down };
      return { ...weights, matrices: { ...weights.matrices, ...mlp } };
    },
    unchanged: (block) => (widths[block]! < whole ? undefined : student.unchanged(block)),
  };
}
