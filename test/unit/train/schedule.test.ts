import { describe, expect, it } from 'vitest';
import { learningRate } from '../../../compressor/train/schedule.ts';

describe('the learning rate', () => {
  const schedule = { peak: 1, steps: 14, warmup: 4, floor: 0.1 };

  it('rises in a line, falls along a cosine and ends at the floor', () => {
    const rates = Array.from({ length: 14 }, (_, step) => learningRate(schedule, step));
    expect(rates.slice(0, 4)).toEqual([0.25, 0.5, 0.75, 1]);
    // Halfway down the cosine lies the middle of peak and floor.
    expect(rates[8]).toBeCloseTo(0.55, 12);
    expect(rates[6]).toBeCloseTo(0.1 + 0.9 * 0.5 * (1 + Math.cos(0.3 * Math.PI)), 12);
    expect(rates[13]).toBeCloseTo(0.1, 12);
    expect(rates.slice(4)).toEqual(rates.slice(4).toSorted((a, b) => b - a));
  });

  it('stays at the floor beyond the end, and knows runs shorter than their warm-up', () => {
    expect(learningRate(schedule, 40)).toBeCloseTo(0.1, 12);
    expect(learningRate({ ...schedule, steps: 2 }, 1)).toBe(0.5);
    expect(learningRate({ peak: 2, steps: 1, warmup: 0, floor: 0.1 }, 0)).toBeCloseTo(0.2, 12);
  });
});
