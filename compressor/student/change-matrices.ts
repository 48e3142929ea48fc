import { type BlockMatrix, blockMatrices } from '../graph/layer.ts';
import type { Student } from './student.ts';

/**
 * The student with other matrices in its blocks; everything else is as it was.
 * @param change gives the matrix that takes the place of the one it is given, which it leaves as it is
 */
export function changeMatrices(
  student: Student,
  change: (block: number, matrix: BlockMatrix, weights: Float32Array) => Float32Array,
): Student {
  return {
    ...student,
    matrix: async (block, matrix) => change(block, matrix, await student.matrix(block, matrix)),
    async block(block) {
      const weights = await student.block(block);
      const matrices = { ...weights.matrices };
      for (const matrix of blockMatrices)
        if (matrices[matrix]) matrices[matrix] = change(block, matrix, matrices[matrix]);
      return { ...weights, matrices };
    },
  };
}
