import { describe, expect, it } from 'vitest';
import { adaptedLayers, adaptersParameters } from '../../../compressor/adapter/adapted-layers.ts';
import {
  adapterFormOf,
  adapterParameters,
  adapterShapes,
  parseAdapter,
} from '../../../compressor/adapter/adapter.ts';
import { picoArchitecture as a } from '../../fixtures/random-checkpoint.ts';

describe('the form of an adapter', () => {
  it.each([
    ['none', { gains: false, rank: 0 }],
    ['gain', { gains: true, rank: 0 }],
    ['lora:8', { gains: false, rank: 8 }],
    ['gain+lora:16', { gains: true, rank: 16 }],
    ['mos:16', { gains: false, rank: 16, pool: { shards: 4, saving: 8, privateShare: 0.5, seed: 1 } }],
    ['gain+mos:4', { gains: true, rank: 4, pool: { shards: 4, saving: 8, privateShare: 0.5, seed: 1 } }],
    ['orchestrated:16', { gains: false, rank: 16, orchestra: { components: 4 } }],
    ['gain+orchestrated:6', { gains: true, rank: 6, orchestra: { components: 2 } }],
    ['orchestrated:5', { gains: false, rank: 5, orchestra: { components: 1 } }],
  ])('is read from %s', (text, form) => {
    expect(parseAdapter(text)).toEqual(form);
  });

  const wrong = ['', 'lora', 'lora:0', 'lora:1025', 'gain+', 'lora:8+gain', 'lora:-1'];
  const wrongToo = ['mos', 'mos:0', 'mos:1025', 'mos:2.5', 'mos:8:4', 'mos:8+gain', 'lora+mos:8'];
  const andWrong = ['orchestrated', 'orchestrated:0', 'orchestrated:8:4', 'mos+orchestrated:8'];
  it.each([...wrong, ...wrongToo, ...andWrong])('is not %j', (text) => {
    expect(() => parseAdapter(text)).toThrow(
      `--adapter takes none, gain, lora:RANK, mos:RANK or orchestrated`,
    );
    expect(() => parseAdapter(text)).toThrow(`rank of 1 to 1024, not ${text}.`);
  });

  it('is told by its arrays, whose sizes are what it costs', () => {
    for (const form of [
      { gains: true, rank: 0 },
      { gains: false, rank: 3 },
      { gains: true, rank: 5 },
    ]) {
      const sizes = Object.entries(adapterShapes(a, form)).map(
        ([name, shape]) => [name, new Float32Array(shape.reduce((product, n) => product * n))] as const,
      );
      expect(adapterFormOf(a, Object.fromEntries(sizes))).toEqual(form);
      expect(adapterParameters(a, form)).toBe(sizes.reduce((sum, [, { length }]) => sum + length, 0));
    }
    // Width 64, heads 4 and 2 of 16, inner width 96: inputs and outputs of each matrix.
    const ends = 64 + 128 + (64 + 64) + 2 * (64 + 96) + (96 + 64);
    expect(adapterParameters(a, { gains: true, rank: 2 })).toBe(2 * 64 + 2 * ends);
  });
});

describe('layers with adapters', () => {
  const adapter = { gains: true, rank: 1 };
  const shared = [0, 1, 2, 3].map((source) => ({ source, block: Math.floor(source / 2) }));

  it('are those whose block is not their own', () => {
    expect(adaptedLayers({ layers: shared })).toEqual([]);
    expect(adaptedLayers({ layers: shared, adapter })).toEqual([1, 3]);
    expect(adaptedLayers({ layers: shared, adapter, weights: 'last' })).toEqual([0, 2]);
    expect(adaptedLayers({ layers: shared, adapter, weights: 'mean' })).toEqual([0, 1, 2, 3]);
    const alone = [0, 1].map((source) => ({ source, block: source }));
    expect(adaptedLayers({ layers: alone, adapter, weights: 'mean' })).toEqual([]);
    expect(adaptersParameters(a, { layers: shared, adapter })).toBe(2 * adapterParameters(a, adapter));
  });

  it('are those that come back with another block, which takes no part in its weights', () => {
    const layers = [
      { source: 0, block: 0 },
      { source: 1, block: 0, refill: true as const },
      { source: 2, block: 1 },
    ];
    for (const weights of ['first', 'last', 'mean'] as const)
      expect(adaptedLayers({ layers, adapter, weights })).toEqual([1]);
  });
});
