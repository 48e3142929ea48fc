import { describe, expect, it } from 'vitest';
import { dequantize, roundToNearest } from '../../../compressor/quantize/blocks.ts';
import { nearestInCells, roundInto, roundToScales } from '../../../compressor/quantize/cells.ts';
import { seeded } from '../../fixtures/random-checkpoint.ts';

const forms = [
  [4, 32],
  [4, 128],
  [8, 64],
] as const;
const shapes = [
  [3, 128],
  [5, 200],
  [1, 7],
] as const;

function randomWeights([outputs, inputs]: readonly [number, number], seed: number, blockSize: number) {
  const random = seeded(seed);
  const weights = Float32Array.from({ length: outputs * inputs }, () => random() * 2 - 1);
  // Halves between two codes, a block of zeros, and one whose largest is positive.
  weights.set([-8, 3.5, -3.5, 0.5, -0.5, 7.9, 7.4].slice(0, inputs));
  if (inputs === 200) weights.fill(0, 200, 200 + blockSize);
  if (outputs > 1) weights[weights.length - 1] = 9;
  return weights;
}

describe('rounding with scales that are given', () => {
  it.each(forms)('is, with their own scales, rounding to nearest (int%i by %i)', (bits, blockSize) => {
    for (const shape of shapes) {
      const weights = randomWeights(shape, 3, blockSize);
      const codes = roundToNearest(weights, shape, bits, blockSize);
      expect(roundToScales(weights, codes, shape[1])).toEqual(codes);
      const rounded = new Float32Array(weights.length);
      roundInto(rounded, weights, codes, shape[1]);
      expect(rounded).toEqual(dequantize(codes, shape[1]));
    }
  });

  it.each(forms)('takes each weight to the nearest value there is (int%i by %i)', (bits, blockSize) => {
    for (const shape of shapes) {
      const codes = roundToNearest(randomWeights(shape, 4, blockSize), shape, bits, blockSize);
      const others = randomWeights(shape, 5, blockSize).map((weight) => weight * 1.3);
      const rounded = new Float32Array(others.length);
      roundInto(rounded, others, codes, shape[1]);
      const zero = 2 ** (bits - 1);
      for (const [i, weight] of others.entries()) {
        const [row, column] = [Math.floor(i / shape[1]), i % shape[1]];
        const scale = codes.scales[row * codes.blocks + Math.floor(column / blockSize)]!;
        const values = Array.from({ length: 2 * zero }, (_, code) => Math.fround((code - zero) * scale));
        const distance = Math.min(...values.map((value) => Math.abs(value - weight)));
        expect(Math.abs(rounded[i]! - weight)).toBeLessThan(distance + 1e-6);
      }
      expect(dequantize(roundToScales(others, codes, shape[1]), shape[1])).toEqual(rounded);
    }
  });
});

describe('weights in their cells', () => {
  it.each(forms)('round to the codes, and stay where they lie within (int%i by %i)', (bits, blockSize) => {
    for (const shape of shapes) {
      const codes = roundToNearest(randomWeights(shape, 4, blockSize), shape, bits, blockSize);
      const others = randomWeights(shape, 5, blockSize);
      const moved = nearestInCells(others, codes, shape[1]);
      expect(roundToScales(moved, codes, shape[1]).values).toEqual(codes.values);
      const again = new Float32Array(others.length);
      roundInto(again, others, codes, shape[1]);
      const middles = dequantize(codes, shape[1]);
      let stayed = 0;
      for (const [i, weight] of others.entries()) {
        const scale =
          codes.scales[Math.floor(i / shape[1]) * codes.blocks + Math.floor((i % shape[1]) / blockSize)]!;
        if (Math.abs(weight - middles[i]!) < 0.48 * Math.abs(scale)) {
          expect(moved[i]).toBe(weight);
          stayed++;
        } else expect(Math.abs(moved[i]! - middles[i]!)).toBeLessThanOrEqual(0.5 * Math.abs(scale));
      }
      if (bits === 4) expect(stayed).toBeGreaterThan(0);
    }
  });
});
