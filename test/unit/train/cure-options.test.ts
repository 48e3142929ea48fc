import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../artifact/errors.ts';
import { type CureOptions, settle, stepsOf } from '../../../compressor/train/cure-options.ts';

const options = (changed: Partial<CureOptions>) => ({
  data: ['a.txt'],
  folder: 'x',
  tokens: 100_000,
  ...changed,
});

describe('the settings of a cure', () => {
  it('have defaults that fit together', () => {
    expect(settle(options({}))).toMatchObject({
      learningRate: 3e-4,
      crossEntropy: 0,
      divergence: 1,
      length: 256,
      tokensPerStep: 1024,
      batch: 4,
      warmupSteps: 5,
      evaluateEvery: 20_000,
    });
    expect(settle(options({ part: 'norms' })).learningRate).toBe(1e-3);
    expect(settle(options({ tokensPerStep: 6 * 256 })).batch).toBe(3);
    expect(settle(options({ tokensPerStep: 256 })).batch).toBe(1);
    expect(settle(options({ tokens: 10e6 })).warmupSteps).toBe(100);
    expect(stepsOf(settle(options({ tokens: 1025 })))).toBe(2);
  });

  it.each([
    [{ tokens: 0 }, /tokens should be more than 0, not 0/],
    [{ tokens: Number.NaN }, /tokens/],
    [{ tokensPerStep: 1000 }, /tokensPerStep should be a multiple of the length, 256/],
    [{ batch: 3 }, /batch should be a divisor of a step's 4 sequences/],
    [{ batch: 1.5 }, /batch/],
    [{ length: 1, tokensPerStep: 8 }, /length/],
    [{ learningRate: -1 }, /learningRate/],
    [{ tailLayers: 0.5 }, /tailLayers/],
    [{ heldOutShare: 1 }, /heldOutShare/],
    [{ divergence: 0, tailWeight: 5 }, /nothing to train for/],
    [{ divergence: -1 }, /divergence should be 0 or more/],
  ])('are refused where they make no sense: %j', (changed, message) => {
    expect(() => settle(options(changed))).toThrow(message);
    expect(() => settle(options(changed))).toThrow(UsageError);
  });
});
