import type { StoredBlocks } from '../checkpoint/checkpoint.ts';

/**
 * A matrix in the form of ONNX Runtime's MatMulNBits: each output row is cut into blocks of `blockSize`
 * inputs (the last one padded), each block has one scale; weight = (code - 2^(bits-1)) * scale.
 */
export interface QuantizedMatrix {
  bits: 4 | 8;
  blockSize: number;
  outputs: number;
  /** ceil(inputs / blockSize) */
  blocks: number;
  /** [outputs, blocks, blockSize * bits / 8]; of two 4-bit codes in a byte the first is the low one. */
  values: Uint8Array;
  /** [outputs, blocks] */
  scales: Float32Array;
}

/**
 * Round to nearest. The scale maps the block's largest value (by size, with its sign) to the lowest code,
 * so that the outlier is exact: least squares on the weights alone shrinks the outliers that matter.
 */
export function roundToNearest(
  weights: Float32Array,
  [outputs, inputs]: readonly [outputs: number, inputs: number],
  bits: 4 | 8,
  blockSize: number,
): QuantizedMatrix {
  const matrix = emptyMatrix(outputs, inputs, bits, blockSize);
  const { blocks, scales } = matrix;
  const zero = 2 ** (bits - 1);
  for (let row = 0; row < outputs; row++) {
    for (let block = 0; block < blocks; block++) {
      const start = row * inputs + block * blockSize;
      const end = Math.min(start + blockSize, (row + 1) * inputs);
      let largest = 0;
      for (let i = start; i < end; i++) {
        if (Math.abs(weights[i]!) > Math.abs(largest)) largest = weights[i]!;
      }
      scales[row * blocks + block] = largest / -zero;
    }
  }
  fillCodes(matrix, weights, inputs);
  return matrix;
}

/** Fills a matrix's codes with what lies nearest to the weights by its scales. */
export function fillCodes(matrix: QuantizedMatrix, weights: Float32Array, inputs: number): void {
  const { bits, blockSize, outputs, blocks, scales } = matrix;
  const zero = 2 ** (bits - 1);
  const codes = new Uint8Array(blockSize);
  for (let row = 0; row < outputs; row++) {
    for (let block = 0; block < blocks; block++) {
      const start = row * inputs + block * blockSize;
      const end = Math.min(start + blockSize, (row + 1) * inputs);
      const inverse = inverseOf(scales[row * blocks + block]!);
      codes.fill(zero);
      for (let i = start; i < end; i++) codes[i - start] = codeOf(weights[i]! * inverse, zero);
      putCodes(matrix, row * blocks + block, codes);
    }
  }
}

/** What a weight is multiplied by to be rounded; a block of zeros has no scale. */
export function inverseOf(scale: number): number {
  return scale === 0 ? 0 : 1 / scale;
}

/** The nearest code of a weight in steps. @param zero the code of 0, half of how many there are */
export function codeOf(steps: number, zero: number): number {
  return Math.min(2 * zero - 1, Math.max(0, Math.round(steps) + zero));
}

/** A checkpoint's own blocks, code for code and scale for scale. */
export function repack(stored: StoredBlocks, outputs: number, inputs: number): QuantizedMatrix {
  const matrix = emptyMatrix(outputs, inputs, stored.bits, stored.blockSize);
  const count = outputs * matrix.blocks;
  for (let block = 0; block < count; block++) {
    putCodes(matrix, block, stored.values.subarray(block * stored.blockSize, (block + 1) * stored.blockSize));
  }
  matrix.scales.set(stored.scales);
  return matrix;
}

/** The weights that the codes stand for, [outputs, inputs]. */
export function dequantize(matrix: QuantizedMatrix, inputs: number): Float32Array {
  const { bits, blockSize, outputs, blocks, values, scales } = matrix;
  const zero = 2 ** (bits - 1);
  const weights = new Float32Array(outputs * inputs);
  for (let row = 0; row < outputs; row++) {
    for (let i = 0; i < inputs; i++) {
      const at = row * blocks * blockSize + i;
      const code = bits === 8 ? values[at]! : (values[at >> 1]! >> ((at & 1) * 4)) & 15;
      weights[row * inputs + i] = (code - zero) * scales[row * blocks + Math.floor(i / blockSize)]!;
    }
  }
  return weights;
}

/** Rows of `parts` one after the other: q, k and v become one matrix. */
export function stack(parts: QuantizedMatrix[]): QuantizedMatrix {
  const [first] = parts;
  if (parts.length === 1) return first!;
  const outputs = parts.reduce((sum, part) => sum + part.outputs, 0);
  const matrix = emptyMatrix(outputs, first!.blocks * first!.blockSize, first!.bits, first!.blockSize);
  let [values, scales] = [0, 0];
  for (const part of parts) {
    matrix.values.set(part.values, values);
    matrix.scales.set(part.scales, scales);
    values += part.values.length;
    scales += part.scales.length;
  }
  return matrix;
}

/** All codes and scales zero. */
export function emptyMatrix(
  outputs: number,
  inputs: number,
  bits: 4 | 8,
  blockSize: number,
): QuantizedMatrix {
  const blocks = Math.ceil(inputs / blockSize);
  return {
    bits,
    blockSize,
    outputs,
    blocks,
    values: new Uint8Array((outputs * blocks * blockSize * bits) / 8),
    scales: new Float32Array(outputs * blocks),
  };
}

/** Packs the codes of one block of scales, counted over all rows. */
export function putCodes(matrix: QuantizedMatrix, block: number, codes: Uint8Array): void {
  const { bits, blockSize, values } = matrix;
  if (bits === 8) {
    values.set(codes, block * blockSize);
    return;
  }
  const start = (block * blockSize) / 2;
  for (let i = 0; i < blockSize; i += 2) values[start + i / 2] = codes[i]! | (codes[i + 1]! << 4);
}
