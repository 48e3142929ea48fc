import { describe, expect, it } from 'vitest';
import { parseAdapter } from '../../../compressor/adapter/adapter.ts';
import { commonParts } from '../../../compressor/adapter/adapter-orchestra.ts';
import { blockMatrices } from '../../../compressor/graph/layer.ts';
import type { CureOptions } from '../../../compressor/train/cure-options.ts';
import { seeded } from '../../fixtures/random-checkpoint.ts';
import {
  cureInterrupted,
  expectGradient,
  expectToLearn,
  openAdapters,
} from '../../fixtures/trained-adapters.ts';

const adapter = parseAdapter('gain+orchestrated:4');
const open = (changed?: Partial<CureOptions>) => openAdapters(adapter, changed);

const kinds = ['layers.1.qkv.up', 'layers.2.down.down', ...commonParts.map((part) => `gate.${part}`)];

describe('adapters that are trained together', () => {
  it('are parameters with all that they have in common, which does not decay', async () => {
    const { weights } = await open();
    const found = weights.parameters.filter(({ name }) => name.startsWith('orchestra.'));
    expect(found).toHaveLength(blockMatrices.length * (2 * 2 + commonParts.length));
    for (const { name, kind } of found)
      expect(kind, name).toBe(/\.(down|up)$/.test(name) ? 'matrix' : 'vector');
    const norms = await open({ part: 'norms' });
    expect(norms.weights.parameters.every(({ name }) => !name.startsWith('orchestra.'))).toBe(true);
  });

  it.each(kinds)('have the gradient by which the loss moves: %s', async (name) => {
    const opened = await open({ clipNorm: 1e9 });
    const random = seeded(6);
    for (const parameter of opened.weights.parameters) {
      // Away from the start, where the identity hides what is transposed.
      if (parameter.name.startsWith('orchestra.'))
        parameter.values.set(parameter.values.map((value) => value + 0.2 * (random() - 0.5)));
    }
    await expectGradient(opened, `orchestra.${name}`);
  });

  it('let one layer move another', async () => {
    const { weights, run, batches } = await open();
    for (let i = 0; i < 3; i++) await run.step(batches, 1e-2);
    const relation = weights.source!['qkv.relation']!;
    expect([relation[1], relation[2]].every((weight) => weight !== 0)).toBe(true);
    const student = weights.asStudent();
    const before = (await student.own(1))['qkv.up']!;
    weights.source!['qkv.coefficients']![4] = 5; // of the other layer
    expect((await student.own(1))['qkv.up']).not.toEqual(before);
  });

  it('lower the loss, and leave blocks and the given student as they are', async () => {
    await expectToLearn(await open(), 'orchestra');
  });

  it('end a cure as if nothing had happened where it is interrupted', async () => {
    const { whole, again } = await cureInterrupted(adapter);
    expect(again.student.orchestra!.values).toEqual(whole.student.orchestra!.values);
  });
});
