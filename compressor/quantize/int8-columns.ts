/**
 * Largest magnitude of a weight's code. Processors without VNNI add two products of a byte and a signed byte in 16 bits:
 * with 64 the sum fits, 2 * 255 * 64, and the result is the same everywhere.
 */
const largestWeight = 64;

/** A matrix in int8 with a step for each output. */
export interface Int8Columns {
  /** [inputs, outputs] */
  codes: Int8Array;
  /** [outputs] */
  steps: Float32Array;
}

/** Rounds a matrix to nearest, output by output. @param weights [outputs, inputs] */
export function int8Columns(
  weights: Float32Array,
  [outputs, inputs]: readonly [number, number],
): Int8Columns {
  const codes = new Int8Array(outputs * inputs);
  const steps = new Float32Array(outputs);
  for (let output = 0; output < outputs; output++) {
    const row = weights.subarray(output * inputs, (output + 1) * inputs);
    let largest = 0;
    for (const weight of row) largest = Math.max(largest, Math.abs(weight));
    const step = Math.fround((largest || 1) / largestWeight);
    steps[output] = step;
    for (let input = 0; input < inputs; input++) {
      const code = Math.round(row[input]! / step);
      codes[input * outputs + output] = Math.max(-largestWeight, Math.min(largestWeight, code));
    }
  }
  return { codes, steps };
}
