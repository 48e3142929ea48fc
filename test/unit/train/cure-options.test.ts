import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../artifact/errors.ts';
import { type CureOptions, settle, stepsOf } from '../../../compressor/train/cure-options.ts';

const settled = (changed: Partial<CureOptions>, contextLength = 2048) =>
  settle({ data: ['a.txt'], folder: 'x', tokens: 100_000, ...changed }, contextLength);

describe('the settings of a cure', () => {
  it('have defaults that fit together', () => {
    expect(settled({})).toMatchObject({
      learningRate: 3e-4,
      crossEntropy: 0,
      divergence: 1,
      length: 256,
      tokensPerStep: 1024,
      batch: 4,
      warmupSteps: 5,
      evaluateEvery: 20_000,
    });
    // What a state was saved with before there was the choice.
    expect(settled({})).not.toHaveProperty('sparseGradients');
    expect(settled({ part: 'norms' }).learningRate).toBe(1e-3);
    expect(settled({ tokensPerStep: 6 * 256 }).batch).toBe(3);
    expect(settled({ tokensPerStep: 256 }).batch).toBe(1);
    expect(settled({ tokens: 10e6 }).warmupSteps).toBe(100);
    expect(settled({}, 100)).toMatchObject({ length: 100, tokensPerStep: 1000, batch: 2 });
    expect(stepsOf(settled({ tokens: 1025 }))).toBe(2);
  });

  it.each([
    [{ tokens: 0 }, /tokens should be more than 0, not 0/],
    [{ tokens: Number.NaN }, /tokens/],
    [{ tokensPerStep: 1000 }, /tokensPerStep should be a multiple of the length, 256/],
    [{ batch: 3 }, /batch should be a divisor of a step's 4 sequences/],
    [{ batch: 1.5 }, /batch/],
    [{ length: 1, tokensPerStep: 8 }, /length/],
    [{ length: 4096, tokensPerStep: 4096 }, /length should be from 2 to the model's context, 2048/],
    [{ learningRate: -1 }, /learningRate/],
    [{ tailLayers: 0.5 }, /tailLayers/],
    [{ heldOutShare: 1 }, /heldOutShare/],
    [{ sparseGradients: 0 }, /sparseGradients should be above 0 to 1, not 0/],
    [{ sparseGradients: 1.01 }, /sparseGradients/],
    [{ sparseGradients: 0.01, part: 'adapters' as const }, /a cure of adapters alone leaves/],
    [{ divergence: 0, tailWeight: 5 }, /nothing to train for/],
    [{ divergence: -1 }, /divergence should be 0 or more/],
  ])('are refused where they make no sense: %j', (changed, message) => {
    expect(() => settled(changed)).toThrow(message);
    expect(() => settled(changed)).toThrow(UsageError);
  });
});
