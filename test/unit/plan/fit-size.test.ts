import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../artifact/errors.ts';
import { bytesOf } from '../../../artifact/manifest.ts';
import { WorkFolder } from '../../../compressor/export/work-folder.ts';
import { fitSize } from '../../../compressor/plan/fit-size.ts';
import { makePlan } from '../../../compressor/plan/make-plan.ts';
import { servedBytes, storedBytes } from '../../../compressor/plan/served-bytes.ts';
import { bitsBudget, parsePrecision, resolvePrecision } from '../../../compressor/quantize/precision.ts';
import { plannedStudent } from '../../../compressor/student/planned-student.ts';
import { exportStudent } from '../../fixtures/export-student.ts';
import { picoArchitecture, randomCheckpoint } from '../../fixtures/random-checkpoint.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

// Wide enough that blocks outweigh names and padding.
const architecture = { ...picoArchitecture, width: 256, intermediateSize: 768, vocabularySize: 600 };
const checkpoint = randomCheckpoint(architecture);
const tokenizer = 5000;
const options = { remove: 0, share: 1, weights: 'first' as const, quantize: 'int4', keep: [0, -1] };

function sized(quantize: string, remove = 0) {
  const scores = architecture.layers.map((_, layer) => layer);
  const plan = makePlan(
    { name: 'x', layers: architecture.layers.length },
    { method: 'x', scores },
    { ...options, quantize, remove },
  );
  const precision = resolvePrecision(checkpoint, plan, parsePrecision(quantize));
  return {
    plan,
    precision,
    model: { architecture, plan, precision, budget: bitsBudget(quantize), tokenizer },
  };
}

describe('the bytes of a model', () => {
  it.each(['int8', 'int4', 'none'])('in the store are foretold (%s)', async (quantize) => {
    const { plan, precision, model } = sized(quantize);
    const { manifest } = await exportStudent({
      checkpoint,
      student: plannedStudent(checkpoint, plan),
      plan,
      precision,
      work: await WorkFolder.open(await temporaryFolder(), quantize),
      cacheText: [Int32Array.of(1, 2, 3, 4)],
    });
    const files = Object.values(await checkpoint.tokenizerFiles());
    const told = storedBytes({ ...model, tokenizer: files.reduce((sum, { length }) => sum + length, 0) });
    expect(bytesOf(manifest)).toBeLessThanOrEqual(told);
    expect(bytesOf(manifest)).toBeGreaterThan(0.97 * told);
  });

  it('in memory grow with the weights and the cache', () => {
    const [whole, less] = [servedBytes(sized('int8').model), servedBytes(sized('int8', 0.5).model)];
    const caches = 2 * 2 * 2048 * architecture.kvHeads * architecture.headSize * 4;
    expect(whole - less).toBeGreaterThan(caches);
  });
});

describe('a size to stay below', () => {
  const choose = (stored: number, fixed = false) =>
    fitSize(checkpoint, { stored }, tokenizer, { ...options, quantize: 'int8' }, fixed);
  const of = (quantize: string, remove = 0) => storedBytes(sized(quantize, remove).model);

  it('keeps all layers and int8 where they fit', () => {
    expect(choose(of('int8'))).toEqual({ remove: 0, quantize: 'int8', bytes: of('int8'), cost: 0 });
  });

  it('gives up bits before layers', () => {
    expect(choose(of('int8') - 1)).toMatchObject({ remove: 0, quantize: 'auto:5' });
    expect(choose(of('int4'))).toMatchObject({ remove: 0, quantize: 'int4' });
  });

  it('removes layers where bits were chosen', () => {
    expect(choose(of('int8') - 1, true)).toMatchObject({ remove: 0.25, quantize: 'int8' });
  });

  it('is refused where nothing is small enough, with the least there is', () => {
    const least = of('int4,embedding=int4', 0.5);
    expect(choose(least)).toMatchObject({ remove: 0.5, quantize: 'int4,embedding=int4' });
    expect(() => choose(least - 1)).toThrow(UsageError);
    expect(() => choose(least - 1)).toThrow(`the least is ${(least / 1e6).toFixed(1)} MB`);
  });
});
