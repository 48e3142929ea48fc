import type { AdapterTensor } from '../adapter/adapter.ts';
import type { Architecture } from '../checkpoint/architecture.ts';
import { type BlockMatrix, blockMatrices, matrixShape } from '../graph/layer.ts';
import { changeMatrices } from '../student/change-matrices.ts';
import type { Student } from '../student/student.ts';
import type { OwnWeights } from '../weights/own.ts';
import { scaleColumns } from './awq.ts';
import { type Input, inputOf } from './block-inputs.ts';

/** What a block's weights are multiplied by, input by input. One for the heads that read the same value head. */
export type ChannelScales = Partial<Record<Input, Float32Array>>;

/**
 * The same function with other weights: a matrix's columns are multiplied by the scales of its inputs, and
 * what makes those inputs is divided by them: the norm before `qkv`, and before `gate` and `up`, in every
 * layer that runs the block; the rows of v before `output`; the rows of `up` before `down`.
 * @param scales by block; asked anew each time
 */
export function scaledStudent(student: Student, scales: ReadonlyMap<number, ChannelScales>): Student {
  const { architecture: a } = student;
  const matrixOf = (block: number, matrix: BlockMatrix, weights: Float32Array) => {
    const scale = scales.get(block);
    return scale
      ? scaleRows(scaleInputs(weights, scale[inputOf(matrix)]), divisorsOf(a, scale, matrix))
      : weights;
  };
  const biasOf = (block: number, bias: Float32Array | undefined) =>
    bias && scaleRows(bias, divisorsOf(a, scales.get(block) ?? {}, 'qkv'));
  const scaled = changeMatrices(student, matrixOf);
  return {
    ...scaled,
    async block(block) {
      const { matrices, ...weights } = await scaled.block(block);
      const qkvBias = biasOf(block, weights.qkvBias);
      return { matrices, ...(qkvBias && { qkvBias }) };
    },
    qkvBias: async (block) => biasOf(block, await student.qkvBias(block)),
    async own(index) {
      const own = await student.own(index);
      const scale = scales.get(student.layers[index]!.block);
      return scale ? scaleOwn(a, own, scale) : own;
    },
    // Layers that run other blocks are scaled otherwise: their matrices no longer share a number.
    pools: undefined,
    orchestra: undefined,
    unchanged: (block) => (scales.has(block) ? undefined : student.unchanged(block)),
  };
}

/** A layer's norms, and its low-rank matrices, which read and make what the block's do. */
function scaleOwn(a: Architecture, own: OwnWeights, scale: ChannelScales): OwnWeights {
  const scaled = { ...own };
  const norms = { 'attention.norm': scale.qkv, 'mlp.norm': scale.gate } as const;
  for (const [norm, divisors] of Object.entries(norms) as [keyof typeof norms, Float32Array | undefined][])
    if (own[norm]) scaled[norm] = scaleRows(own[norm], divisors);
  for (const matrix of blockMatrices) {
    const down: AdapterTensor = `${matrix}.down`;
    const up: AdapterTensor = `${matrix}.up`;
    if (own[down]) scaled[down] = scaleInputs(own[down], scale[inputOf(matrix)]);
    if (own[up]) scaled[up] = scaleRows(own[up], divisorsOf(a, scale, matrix));
  }
  return scaled;
}

/** What a matrix's outputs are divided by, so that the next one's inputs are. */
function divisorsOf(a: Architecture, scale: ChannelScales, matrix: BlockMatrix): Float32Array | undefined {
  if (matrix === 'up') return scale.down;
  if (matrix !== 'qkv' || !scale.output) return undefined;
  const [outputs] = matrixShape(a, 'qkv');
  const divisors = new Float32Array(outputs).fill(1);
  const values = outputs - a.kvHeads * a.headSize;
  const queries = a.heads / a.kvHeads;
  for (let head = 0; head < a.kvHeads; head++) {
    const from = head * queries * a.headSize; // all its query heads have the same
    divisors.set(scale.output.subarray(from, from + a.headSize), values + head * a.headSize);
  }
  return divisors;
}

function scaleInputs(matrix: Float32Array, factors: Float32Array | undefined): Float32Array {
  return factors ? scaleColumns(matrix, factors) : matrix;
}

/** @param matrix row-major [divisors.length, columns] */
function scaleRows(matrix: Float32Array, divisors: Float32Array | undefined): Float32Array {
  if (!divisors) return matrix;
  const columns = matrix.length / divisors.length;
  return matrix.map((value, i) => value / divisors[Math.floor(i / columns)]!);
}
