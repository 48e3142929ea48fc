import { codeOf, dequantize, emptyMatrix, fillCodes, inverseOf, type QuantizedMatrix } from './blocks.ts';

/** Rounding with scales that are there already: every weight lies in the cell of one code, a step wide. */

/** Of half a step: weights that are brought to a cell's edge stay within it, whatever float32 makes of them. */
const inside = 0.98;

/**
 * What the weights are rounded to in the form and with the scales of `like`; what lies outside of all cells takes the
 * outermost.
 * @param rounded takes it, [outputs, inputs]
 */
export function roundInto(
  rounded: Float32Array,
  weights: Float32Array,
  like: QuantizedMatrix,
  inputs: number,
): void {
  const { bits, blockSize, blocks, scales } = like;
  const zero = 2 ** (bits - 1);
  for (let row = 0, block = 0; row < weights.length; row += inputs) {
    for (let start = row; start < row + blocks * blockSize; start += blockSize, block++) {
      const scale = scales[block]!;
      const inverse = inverseOf(scale);
      const end = Math.min(start + blockSize, row + inputs);
      for (let i = start; i < end; i++) rounded[i] = (codeOf(weights[i]! * inverse, zero) - zero) * scale;
    }
  }
}

/** The same as codes. */
export function roundToScales(weights: Float32Array, like: QuantizedMatrix, inputs: number): QuantizedMatrix {
  const matrix = emptyMatrix(like.outputs, inputs, like.bits, like.blockSize);
  matrix.scales.set(like.scales);
  fillCodes(matrix, weights, inputs);
  return matrix;
}

/** The weights nearest to the given ones that round to the codes, [outputs, inputs]. */
export function nearestInCells(weights: Float32Array, codes: QuantizedMatrix, inputs: number): Float32Array {
  const { blockSize, blocks, scales } = codes;
  const middles = dequantize(codes, inputs);
  return weights.map((weight, i) => {
    const row = Math.floor(i / inputs);
    const scale = scales[row * blocks + Math.floor((i - row * inputs) / blockSize)]!;
    const reach = Math.abs(scale) * 0.5 * inside;
    return Math.min(middles[i]! + reach, Math.max(middles[i]! - reach, weight));
  });
}
