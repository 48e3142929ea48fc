import { describe, expect, it } from 'vitest';
import { wholePlan } from '../../../compressor/compare/method-plan.ts';
import { quantizeTo, sizeOf } from '../../../compressor/compare/same-bytes.ts';
import { randomCheckpoint } from '../../fixtures/random-checkpoint.ts';

const checkpoint = randomCheckpoint();
const plan = wholePlan(checkpoint, 'int4');
const overhead = 5000;
const size = (quantize: string) => sizeOf(checkpoint, plan, quantize) + overhead;
const find = (bytes: number, calibrated = true) => quantizeTo(checkpoint, plan, bytes, overhead, calibrated);

/** The smallest of all block sizes: some pad these matrices. */
const smallest = (blocks: 4 | 8, embedding: 4 | 8) =>
  Math.min(
    ...['', ':32', ':64', ':128'].map((block) => size(`int${blocks}${block},embedding=int${embedding}:64`)),
  );

describe('the unfolded model in no more bytes', () => {
  it.each([true, false])('is never larger, calibrated: %s', (calibrated) => {
    const [least, most] = [smallest(4, 4), smallest(8, 8)];
    for (let i = 0; i <= 8; i++) {
      const bytes = Math.round(least + ((most - least) * i) / 8);
      const { quantize, fits } = find(bytes, calibrated);
      expect(fits).toBe(true);
      expect(size(quantize)).toBeLessThanOrEqual(bytes);
      // Of a budget of bits, nearly all is spent.
      if (quantize.startsWith('auto')) expect(size(quantize)).toBeGreaterThan(0.98 * bytes);
      if (!calibrated) expect(quantize).not.toMatch(/^auto/);
    }
  });

  it('gives up what harms least first', () => {
    const whole = Math.max(...[32, 64, 128].map((block) => size(`int8:${block},embedding=none`)));
    expect(find(whole).quantize).toMatch(/^int8(:\d+)?,embedding=none$/);
    expect(find(smallest(8, 8)).quantize).toMatch(/^int8(:\d+)?,embedding=int8(:\d+)?$/);
    expect(find(smallest(8, 8) - 1).quantize).toMatch(/^auto:\d\.\d+,embedding=int8/);
    expect(find(smallest(4, 8)).quantize).toMatch(/^int4(:\d+)?,embedding=int8/);
    expect(find(smallest(4, 8) - 1).quantize).toMatch(/embedding=int4/);
    expect(find(smallest(8, 8) - 1, false).quantize).toMatch(/^int4.*=int8.*embedding=int8/);
  });

  it('says where there is none, and is the smallest then', () => {
    const found = find(1000);
    expect(found.fits).toBe(false);
    expect(found.quantize).toMatch(/^int4/);
    expect(size(found.quantize)).toBe(smallest(4, 4));
  });
});
