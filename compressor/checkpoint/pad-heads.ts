import type { Architecture } from './architecture.ts';
import type { Checkpoint, CheckpointTensor, TensorRole } from './checkpoint.ts';

/** ONNX Runtime's attention takes heads of a multiple of this; of known models only tiny ones differ. */
export const headMultiple = 16;

/**
 * A checkpoint whose heads are padded with zeros to a size that the runtime takes, each rotary half by
 * itself. Zeros in q and k add nothing to their products, turned or not, and zeros in v meet zero columns
 * of the output matrix: the model computes the same.
 */
export function padHeads(checkpoint: Checkpoint): Checkpoint {
  const { architecture } = checkpoint;
  const { headSize, qkNorm } = architecture;
  const padded = Math.ceil(headSize / headMultiple) * headMultiple;
  // A norm over a head would see the zeros.
  if (padded === headSize || qkNorm) return checkpoint;
  return {
    name: checkpoint.name,
    path: checkpoint.path,
    files: checkpoint.files,
    architecture: {
      ...architecture,
      headSize: padded,
      storedHeadSize: headSize,
      rotaries: architecture.rotaries.map((rotary) => ({
        ...rotary,
        inverseFrequencies: Array.from(
          { length: padded / 2 },
          (_, pair) => rotary.inverseFrequencies[pair] ?? 0,
        ),
      })),
    },
    tokens: checkpoint.tokens,
    tokenizerFiles: () => checkpoint.tokenizerFiles(),
    close: () => checkpoint.close(),
    tensor(role) {
      const tensor = checkpoint.tensor(role);
      if (/\.attention\.[qkv](\.bias)?$/.test(role)) return padRows(tensor, architecture, padded);
      return role.endsWith('.attention.output') ? padColumns(tensor, architecture, padded) : tensor;
    },
  };
}

/** Where dimension i of all heads goes. */
function place(i: number, headSize: number, padded: number): number {
  const half = headSize / 2;
  return Math.floor(i / half) * (padded / 2) + (i % half);
}

function padRows(tensor: CheckpointTensor, { headSize }: Architecture, padded: number): CheckpointTensor {
  const [rows, columns = 1] = tensor.shape as [number, number?];
  const shape = [(rows / headSize) * padded, ...tensor.shape.slice(1)];
  return whole(tensor.role, shape, async () => {
    const weights = await tensor.read();
    const out = new Float32Array(shape[0]! * columns);
    for (let row = 0; row < rows; row++) {
      const source = weights.subarray(row * columns, (row + 1) * columns);
      out.set(source, place(row, headSize, padded) * columns);
    }
    return out;
  });
}

function padColumns(tensor: CheckpointTensor, { headSize }: Architecture, padded: number): CheckpointTensor {
  const [rows, columns] = tensor.shape as [number, number];
  const heads = columns / headSize;
  return whole(tensor.role, [rows, heads * padded], async () => {
    const weights = await tensor.read();
    const out = new Float32Array(rows * heads * padded);
    for (let i = 0; i < weights.length; i++) out[place(i, headSize, padded)] = weights[i]!;
    return out;
  });
}

/** A tensor made in memory: the matrices of such small heads are small. */
function whole(role: TensorRole, shape: number[], make: () => Promise<Float32Array>): CheckpointTensor {
  const columns = shape[1] ?? 1;
  return {
    role,
    shape,
    storedAs: 'F32',
    async read(start = 0, count = shape[0]! - start) {
      return (await make()).subarray(start * columns, (start + count) * columns);
    },
  };
}
