import { describe, expect, it } from 'vitest';
import { removalTable } from '../../../cli/removal-table.ts';
import { makePlan } from '../../../compressor/plan/make-plan.ts';
import { randomCheckpoint } from '../../fixtures/random-checkpoint.ts';

const options = { remove: 0, share: 1, weights: 'first', quantize: 'int4' } as const;
const scores = [1.5, -0.00004, 0.25, 10];

function table(keep: number[], share = 1): string {
  const plan = makePlan({ name: 'random', layers: 4 }, { method: 'loss', scores }, { ...options, keep });
  return removalTable(randomCheckpoint(), plan, { ...options, keep, share });
}

describe('the table of what could be removed', () => {
  it('tells which layers would go first and what is left', () => {
    // 0.1 of 4 layers is none, 0.2 and 0.3 are one, 0.4 and 0.5 are two. A layer has 30,720 + 128 of 129,600
    // parameters, and takes 17,664 + 512 bytes; embedding and final norm take 6528 + 256.
    expect(table([0, -1])).toBe(
      `removing      parameters  bytes    layers that go
--remove 0.2  76.2%       61.3 kB  1
--remove 0.4  52.4%       43.1 kB  1, 2`,
    );
  });

  it('counts shared blocks once, as the fold would', () => {
    const [, one, two] = table([], 3).split('\n');
    expect(one).toMatch(/^--remove 0\.2 {2}28\.8% .* 1$/);
    expect(two).toMatch(/^--remove 0\.4 {2}28\.7% .* 1, 2$/);
  });

  it('shows no more than may go', () => {
    expect(table([0, 1, -1]).split('\n')).toHaveLength(2);
    expect(table([0, 1, 2, 3])).toBe('None of the 4 layers can be removed beside those of --keep.');
    expect(table([0, 1, 2, -1, -2])).toBe(table([0, 1, 2, 3]));
  });
});
