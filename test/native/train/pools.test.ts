import { describe, expect, it } from 'vitest';
import { usualPool } from '../../../compressor/adapter/adapter.ts';
import { poolNames } from '../../../compressor/adapter/adapter-pools.ts';
import type { CureOptions } from '../../../compressor/train/cure-options.ts';
import { maxDifference } from '../../fixtures/pico.ts';
import { randomArray, seeded } from '../../fixtures/random-checkpoint.ts';
import {
  cureInterrupted,
  expectGradient,
  expectToLearn,
  openAdapters,
} from '../../fixtures/trained-adapters.ts';

const adapter = { gains: true, rank: 4, pool: usualPool };
const open = (changed?: Partial<CureOptions>) => openAdapters(adapter, changed);

describe('pools that are trained', () => {
  it('take the place of the matrices made of them', async () => {
    const { weights } = await open();
    const names = weights.parameters.map(({ name }) => name);
    expect(names.filter((name) => name.startsWith('pools.'))).toEqual(
      poolNames.map((name) => `pools.${name}`),
    );
    expect(names.filter((name) => /layers\.\d+\..*\.(down|up)$/.test(name))).toEqual([]);
    expect(names).toContain('layers.1.mlp.gain');
    const norms = await open({ part: 'norms' });
    expect(norms.weights.parameters.every(({ name }) => !name.startsWith('pools.'))).toBe(true);
  });

  it.each(poolNames)('have the gradient by which the loss moves: %s', async (name) => {
    await expectGradient(await open({ part: 'all', clipNorm: 1e9 }), `pools.${name}`);
  });

  it('have it along any direction, over all pools at once', async () => {
    const { weights, run, batches } = await open();
    await run.step(batches, 0);
    const pools = weights.parameters.filter(({ name }) => name.startsWith('pools.'));
    const random = seeded(8);
    const moves = pools.map(({ values, gradient }) => ({
      ...{ values, start: values.slice(), gradient: gradient.slice() },
      // Half of it at random, half along the gradient: a random direction alone hardly moves the loss.
      direction: randomArray(values.length, random, 0.05).map((value, i) => value + 5 * gradient[i]!),
    }));
    const lossAt = async (step: number) => {
      for (const { values, start, direction } of moves)
        values.set(start.map((value, i) => value + step * direction[i]!));
      return (await run.step(batches, 0)).loss;
    };
    const expected = moves.reduce(
      (sum, { gradient, direction }) =>
        sum + gradient.reduce((dot, value, i) => dot + value * direction[i]!, 0),
      0,
    );
    const step = 0.02;
    expect(((await lossAt(step)) - (await lossAt(-step))) / (2 * step) / expected).toBeCloseTo(1, 1);
  });

  it('move, all of them, by as much as a step', async () => {
    const { student, weights, run, batches } = await open();
    const before = structuredClone(student.pools!.values);
    await run.step(batches, 1e-3);
    for (const name of poolNames)
      expect(maxDifference(weights.source![name]!, before[name]) / 1e-3, name).toBeCloseTo(1, 1);
  });

  it('lower the loss, and leave blocks and the given student as they are', async () => {
    await expectToLearn(await open(), 'pools');
  });

  it('end a cure as if nothing had happened where it is interrupted', async () => {
    const { whole, again } = await cureInterrupted(adapter);
    expect(again.student.pools!.values).toEqual(whole.student.pools!.values);
  });
});
