import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { dequantize, type QuantizedMatrix, roundToNearest } from '../../compressor/quantize/blocks.ts';
import { feedbackOf } from '../../compressor/quantize/feedback.ts';
import { Gptq, plainScale } from '../../compressor/quantize/gptq.ts';
import { Hessian } from '../../compressor/quantize/hessian.ts';
import { randomArray, seeded } from '../fixtures/random-checkpoint.ts';

interface Golden {
  bits: 4 | 8;
  blockSize: number;
  outputs: number;
  inputs: number;
  tokens: number;
  damping: number;
  x: Float32Array;
  weights: Float32Array;
  codes: Uint8Array;
  scales: number[];
}

/** What an implementation of the paper's own form in PyTorch gives. */
const goldens: Golden[] = JSON.parse(
  await readFile(new URL('../fixtures/gptq/golden.json', import.meta.url), 'utf8'),
).map((golden: Record<string, string>) => {
  const bytes = (name: string) => new Uint8Array(Buffer.from(golden[name]!, 'base64'));
  return {
    ...golden,
    x: Float32Array.from(new Int8Array(bytes('x').buffer)),
    weights: Float32Array.from(new Int16Array(bytes('weights').buffer), (value) => value / 4096),
    codes: bytes('codes'),
  };
});

function hessianOf(x: Float32Array, size: number): Float32Array {
  const hessian = new Hessian(size);
  hessian.add(x);
  hessian.flush();
  hessian[Symbol.dispose]();
  return hessian.values;
}

function gptq(
  weights: Float32Array,
  shape: [number, number],
  bits: 4 | 8,
  blockSize: number,
  hessian: Float32Array,
  { damping = 0.01, scales = plainScale }: { damping?: number; scales?: readonly number[] } = {},
): QuantizedMatrix {
  const quantizer = new Gptq(scales);
  const matrix = quantizer.quantize(weights, shape, bits, blockSize, feedbackOf(hessian, shape[1], damping));
  quantizer[Symbol.dispose]();
  return matrix;
}

/** The codes alone, unpacked and without padding. */
function codesOf(matrix: QuantizedMatrix, inputs: number): number[] {
  const plain = { ...matrix, scales: new Float32Array(matrix.scales.length).fill(1) };
  return [...dequantize(plain, inputs)].map((value) => value + 2 ** (matrix.bits - 1));
}

/** trace(E H Eᵀ) in float64 */
function costOf(
  matrix: QuantizedMatrix,
  weights: Float32Array,
  inputs: number,
  hessian: Float32Array,
): number {
  const errors = dequantize(matrix, inputs).map((value, i) => value - weights[i]!);
  let cost = 0;
  for (let row = 0; row < matrix.outputs; row++) {
    for (let i = 0; i < inputs; i++) {
      let sum = 0;
      for (let j = 0; j < inputs; j++) sum += hessian[i * inputs + j]! * errors[row * inputs + j]!;
      cost += sum * errors[row * inputs + i]!;
    }
  }
  return cost;
}

/** [tokens, size]: a few directions that all inputs share, and noise. */
function correlatedInputs(tokens: number, size: number, seed: number, noise = 0.3): Float32Array {
  const random = seeded(seed);
  const shared = 8;
  const directions = randomArray(shared * size, random);
  const x = randomArray(tokens * size, random, noise);
  for (let token = 0; token < tokens; token++) {
    for (let k = 0; k < shared; k++) {
      const strength = random() * 2 - 1;
      for (let i = 0; i < size; i++) x[token * size + i]! += strength * directions[k * size + i]!;
    }
  }
  return x;
}

describe('GPTQ', () => {
  it.each(goldens)('gives the codes of PyTorch, int$bits in blocks of $blockSize', (golden) => {
    const { bits, blockSize, outputs, inputs, damping } = golden;
    const hessian = hessianOf(golden.x, inputs);
    const matrix = gptq(golden.weights, [outputs, inputs], bits, blockSize, hessian, { damping });
    expect(codesOf(matrix, inputs)).toEqual([...golden.codes]);
    expect(matrix.scales.length).toBe(golden.scales.length);
    matrix.scales.forEach((scale, i) => {
      expect(scale / golden.scales[i]!).toBeCloseTo(1, 4);
    });
    // And they are not those of rounding to nearest.
    const nearest = roundToNearest(golden.weights, [outputs, inputs], bits, blockSize);
    expect(codesOf(nearest, inputs)).not.toEqual([...golden.codes]);
  });

  it.each([
    [4, 32, 96],
    [4, 64, 200], // the last block is not full
    [4, 128, 100],
    [8, 32, 70],
  ] as const)('costs far less than rounding to nearest, int%i:%i of %i inputs', (bits, blockSize, inputs) => {
    for (let seed = 0; seed < 5; seed++) {
      const weights = randomArray(6 * inputs, seeded(seed));
      const hessian = hessianOf(correlatedInputs(300, inputs, seed), inputs);
      const cost = (matrix: QuantizedMatrix) => costOf(matrix, weights, inputs, hessian);
      const nearest = cost(roundToNearest(weights, [6, inputs], bits, blockSize));
      const plain = cost(gptq(weights, [6, inputs], bits, blockSize, hessian));
      expect(plain).toBeLessThan(0.7 * nearest);
    }
  });

  it('costs less with scales to choose from', () => {
    const inputs = 256;
    const weights = randomArray(16 * inputs, seeded(1));
    const hessian = hessianOf(correlatedInputs(400, inputs, 1), inputs);
    const cost = (scales: number[]) =>
      costOf(gptq(weights, [16, inputs], 4, 64, hessian, { scales }), weights, inputs, hessian);
    expect(cost([1, 0.95, 0.9, 0.85, 0.8])).toBeLessThan(0.97 * cost([1]));
  });

  it('is rounding to nearest where inputs have nothing in common', () => {
    const inputs = 100;
    const weights = randomArray(4 * inputs, seeded(2));
    const diagonal = new Float32Array(inputs * inputs);
    for (let i = 0; i < inputs; i++) diagonal[i * inputs + i] = 1 + (i % 7);
    const nearest = roundToNearest(weights, [4, inputs], 4, 32);
    expect(gptq(weights, [4, inputs], 4, 32, diagonal)).toEqual(nearest);
    expect(gptq(weights, [4, inputs], 4, 32, new Float32Array(inputs * inputs))).toEqual(nearest);
  });

  it('gives a row alone what it gives it among others', () => {
    const inputs = 96;
    const weights = randomArray(3 * inputs, seeded(3));
    const hessian = hessianOf(correlatedInputs(200, inputs, 3), inputs);
    const all = gptq(weights, [3, inputs], 4, 32, hessian);
    const last = gptq(weights.slice(2 * inputs), [1, inputs], 4, 32, hessian);
    expect(codesOf(last, inputs)).toEqual(codesOf(all, inputs).slice(2 * inputs));
  });

  it('leaves zeros and rows of zeros alone', () => {
    const inputs = 64;
    const hessian = hessianOf(correlatedInputs(200, inputs, 4), inputs);
    const matrix = gptq(new Float32Array(2 * inputs), [2, inputs], 4, 32, hessian);
    expect([...dequantize(matrix, inputs)].every((value) => value === 0)).toBe(true);
  });
});

describe('the Hessian', () => {
  const size = 40;

  /** Written out in float64. */
  function reference(x: Float32Array): number[] {
    const sum = new Array<number>(size * size).fill(0);
    for (let start = 0; start < x.length; start += size) {
      const token = x.subarray(start, start + size);
      const square = token.reduce((total, value) => total + value * value, 0) / size;
      for (let i = 0; i < size && square > 0; i++) {
        for (let j = 0; j < size; j++) sum[i * size + j]! += (token[i]! * token[j]!) / square;
      }
    }
    return sum;
  }

  it('is the sum over all tokens, each scaled to unit mean square, however they come', () => {
    const x = correlatedInputs(5000, size, 5); // more than are multiplied at once
    x.fill(0, 7 * size, 8 * size);
    for (let i = 0; i < size; i++) x[i]! *= 1000; // as the first token's
    const hessian = new Hessian(size);
    hessian.add(x.slice(0, 3 * size));
    hessian.flush();
    hessian.add(x.slice(3 * size));
    hessian.flush();
    hessian[Symbol.dispose]();
    const expected = reference(x);
    hessian.values.forEach((value, i) => {
      expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-5 * expected[0]!);
    });
  });

  it.each([1, 63, 64, 65, 150])('of %i inputs is taken apart into what gives it again', (inputs) => {
    const hessian = hessianOf(correlatedInputs(2 * inputs + 5, inputs, inputs), inputs);
    const damping = 0.02;
    const { factors, costs } = feedbackOf(hessian, inputs, damping);
    let mean = 0;
    for (let i = 0; i < inputs; i++) mean += hessian[i * inputs + i]! / inputs;
    const unit = (k: number, j: number) => (k === j ? 1 : factors[k * inputs + j]!);
    let worst = 0;
    for (let i = 0; i < inputs; i++) {
      for (let j = 0; j < inputs; j++) {
        if (j >= i) expect(factors[i * inputs + j]).toBe(0);
        let sum = 0;
        for (let k = Math.max(i, j); k < inputs; k++) sum += unit(k, i) * costs[k]! * unit(k, j);
        const expected = hessian[i * inputs + j]! + (i === j ? damping * mean : 0);
        worst = Math.max(worst, Math.abs(sum - expected));
      }
    }
    expect(worst).toBeLessThan(1e-4 * mean);
  });

  it('of fewer tokens than inputs is taken apart too', () => {
    const hessian = hessianOf(correlatedInputs(3, 200, 6, 0), 200);
    const { costs } = feedbackOf(hessian, 200, 1e-7); // below float32's precision: damped more
    expect(costs.every((cost) => cost > 0)).toBe(true);
  });

  it('of a model that computes no numbers is refused', () => {
    const hessian = hessianOf(correlatedInputs(3, 8, 7).fill(Number.NaN), 8);
    expect(() => feedbackOf(hessian, 8, 0.01)).toThrow('Is the checkpoint whole?');
  });
});
