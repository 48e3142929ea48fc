import { describe, expect, it } from 'vitest';
import { fastExp } from '../../../../functions/engine/sampling/fast-exp.ts';
import { seeded } from '../../../fixtures/random-checkpoint.ts';

const relativeError = (x: number) => Math.abs(fastExp(x) / Math.exp(x) - 1);

describe('fastExp', () => {
  it('is within 2e-8 of Math.exp over its whole range', () => {
    const random = seeded(1);
    let worst = 0;
    for (let i = 0; i < 200_000; i++) worst = Math.max(worst, relativeError(-80 * random()));
    for (let i = 0; i < 20_000; i++) worst = Math.max(worst, relativeError(-(10 ** (-12 * random()))));
    expect(worst).toBeLessThan(2e-8);
  });

  it('is within 2e-8 on both sides of every table step', () => {
    let worst = 0;
    for (let step = 0; step < 80 * 256; step++) {
      for (const x of [-step / 256, -step / 256 - 1e-12, -step / 256 + 1e-12]) {
        if (x <= 0) worst = Math.max(worst, relativeError(x));
      }
    }
    expect(worst).toBeLessThan(2e-8);
  });

  it('is 1 at 0, so that the likeliest token weighs exactly 1', () => {
    expect(fastExp(0)).toBe(1);
    expect(fastExp(-0)).toBe(1);
    expect(fastExp(-Number.MIN_VALUE)).toBe(1);
  });

  it('falls, as far as rounding lets it', () => {
    const random = seeded(2);
    for (let i = 0; i < 20_000; i++) {
      const x = -79 * random();
      expect(fastExp(x - 1e-3)).toBeLessThan(fastExp(x));
    }
  });

  it.each([-80, -80.0001, -1e6, -Number.MAX_VALUE, Number.NEGATIVE_INFINITY])('is 0 at %d', (x) => {
    expect(fastExp(x)).toBe(0);
  });

  it('is still a number just above the end of its tables', () => {
    expect(relativeError(-79.999999)).toBeLessThan(2e-8);
  });

  it('is 0 for what is no number', () => {
    expect(fastExp(Number.NaN)).toBe(0);
  });
});
