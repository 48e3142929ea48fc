import { describe, expect, it } from 'vitest';
import { planTable } from '../../../cli/plan-table.ts';
import { makePlan, type PlanOptions } from '../../../compressor/plan/make-plan.ts';
import { makeSizedPlan } from '../../../compressor/plan/widths.ts';
import { randomCheckpoint } from '../../fixtures/random-checkpoint.ts';

function table(changed: Partial<PlanOptions>, scores?: number[]): string {
  const plan = makePlan(
    { name: 'random', layers: 4 },
    { method: scores ? 'loss' : 'none', ...(scores && { scores }) },
    { remove: 0, share: 1, weights: 'first', quantize: 'int4', keep: [], ...changed },
  );
  return planTable(randomCheckpoint(), plan);
}

describe('the table of a plan', () => {
  it('tells what becomes of every layer and what it saves', () => {
    // 4 layers of 30,720 in matrices and 128 in norms, an embedding of 6144, a final norm of 64. Left: 2
    // blocks and 3 layers' norms. In bytes: int4 in blocks of 64 (down: of 32) is 0.5625 (0.625) a weight,
    // the int8 embedding 1.0625.
    expect(table({ remove: 0.25, share: 2 }, [1.5, -0.00004, 0.25, 10])).toBe(
      `Fold plan for random (llama, 4 layers)

layer      loss  becomes
    0    1.5000  block 0, shared by layers 0, 2
    1   -0.0000  removed
    2    0.2500  block 0, shared by layers 0, 2
    3   10.0000  block 1

Layers       4 -> 3, running 2 distinct blocks
Parameters   129,600 -> 68,032 (52.5%)
Bytes        259.2 kB in bfloat16 -> 43.6 kB (16.8%)
Quantization qkv int4:64, output int4:64, gate int4:64, up int4:64, down int4:32, embedding int8:64`,
    );
  });

  it('tells how wide MLPs are where they are narrower', () => {
    const checkpoint = randomCheckpoint();
    const options = {
      remove: 0,
      share: 1,
      weights: 'first' as const,
      quantize: 'none',
      keep: [],
      width: 0.75,
    };
    const ranking = { method: 'influence', scores: [0.9, 0.1, 0.2, 0.3] };
    const lines = planTable(checkpoint, makeSizedPlan(checkpoint, ranking, options)).split('\n');
    // 0.75 of four times 96 is nine steps of 32, of 12: the first block keeps all.
    expect(lines[3]).toBe('    0    0.9000  block 0');
    expect(lines[4]).toBe('    1    0.1000  block 1, MLP 32 wide');
    expect(lines).toContain('MLPs         32 to 96 wide of 96, 75.0% in the mean');
  });

  it('has no column of scores where nothing was ranked', () => {
    const lines = table({ quantize: 'none' }).split('\n');
    expect(lines.slice(2, 5)).toEqual(['layer  becomes', '    0  block 0', '    1  block 1']);
    expect(lines).toContain('Layers       4 -> 4, running 4 distinct blocks');
    expect(lines).toContain('Parameters   129,600 -> 129,600 (100.0%)');
    expect(lines).toContain('Bytes        259.2 kB in bfloat16 -> 518.4 kB (200.0%)');
  });
});
