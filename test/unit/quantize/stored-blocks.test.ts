import { describe, expect, it } from 'vitest';
import type { StoredBlocks } from '../../../compressor/checkpoint/checkpoint.ts';
import { dequantize, repack, roundToNearest, stack } from '../../../compressor/quantize/blocks.ts';
import { randomArray, seeded } from '../../fixtures/random-checkpoint.ts';

function storedBlocks(bits: 4 | 8, outputs: number, inputs: number, seed: number): StoredBlocks {
  const random = seeded(seed);
  return {
    bits,
    blockSize: 32,
    values: Uint8Array.from({ length: outputs * inputs }, () => Math.floor(random() * 2 ** bits)),
    scales: randomArray((outputs * inputs) / 32, random, 0.1),
  };
}

describe.each([4, 8] as const)("a checkpoint's own blocks in %i bits", (bits) => {
  it('are repacked code for code and scale for scale', () => {
    const [outputs, inputs] = [6, 96];
    const stored = storedBlocks(bits, outputs, inputs, bits);
    const matrix = repack(stored, outputs, inputs);
    expect(matrix).toMatchObject({ bits, blockSize: 32, outputs, blocks: 3 });
    expect([...matrix.scales]).toEqual([...stored.scales]);
    const restored = dequantize(matrix, inputs);
    stored.values.forEach((code, i) => {
      const scale = stored.scales[Math.floor(i / 32)]!;
      expect(restored[i]).toBe(Math.fround((code - 2 ** (bits - 1)) * scale));
    });
  });

  it('are stacked row after row', () => {
    const inputs = 64;
    const parts = [8, 4, 4].map((outputs, i) =>
      repack(storedBlocks(bits, outputs, inputs, i), outputs, inputs),
    );
    const stacked = stack(parts);
    expect(stacked).toMatchObject({ bits, blockSize: 32, outputs: 16, blocks: 2 });
    expect([...dequantize(stacked, inputs)]).toEqual(parts.flatMap((part) => [...dequantize(part, inputs)]));
  });
});

describe('stacking', () => {
  it('of quantized parts is quantizing the stacked weights', () => {
    const inputs = 70; // padded
    const parts = [3, 2].map((outputs, i) => randomArray(outputs * inputs, seeded(i)));
    const whole = new Float32Array([...parts[0]!, ...parts[1]!]);
    const quantize = (weights: Float32Array, outputs: number) =>
      roundToNearest(weights, [outputs, inputs], 4, 64);
    expect(stack([quantize(parts[0]!, 3), quantize(parts[1]!, 2)])).toEqual(quantize(whole, 5));
  });

  it('of one part is that part', () => {
    const part = roundToNearest(randomArray(64, seeded(1)), [2, 32], 8, 32);
    expect(stack([part])).toEqual(part);
  });
});
