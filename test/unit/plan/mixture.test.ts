import { describe, expect, it } from 'vitest';
import { type SharedWeights, sharedWeights } from '../../../compressor/plan/plan.ts';
import { mix, mixtureOf } from '../../../compressor/weights/mixture.ts';
import { randomArray, seeded } from '../../fixtures/random-checkpoint.ts';

const single = (layer: number) => [{ layer, factor: 1 }];

describe('mixtureOf', () => {
  it.each([
    ['first', [3, 4, 7], 3],
    ['middle', [3, 4, 7], 4],
    ['middle', [3, 4, 7, 8], 4], // of two middle ones the earlier
    ['middle', [3, 4], 3],
    ['last', [3, 4, 7], 7],
  ] as const)('%s of %j is layer %i alone', (weights, group, layer) => {
    expect(mixtureOf([...group], weights)).toEqual(single(layer));
  });

  it.each(sharedWeights)('%s of a group of one is that layer', (weights) => {
    expect(mixtureOf([5], weights, [0, 0, 0, 0, 0, 0.3])).toEqual(single(5));
  });

  it('mean gives equal shares', () => {
    expect(mixtureOf([1, 2, 5], 'mean')).toEqual([1, 2, 5].map((layer) => ({ layer, factor: 1 / 3 })));
  });

  it("weighted gives shares by the checkpoint's scores, not the group's positions", () => {
    const scores = [100, 1, 3, 100, 100, 4];
    expect(mixtureOf([1, 2, 5], 'weighted', scores)).toEqual([
      { layer: 1, factor: 1 / 8 },
      { layer: 2, factor: 3 / 8 },
      { layer: 5, factor: 4 / 8 },
    ]);
  });

  it('weighted takes nothing from layers that do harm', () => {
    expect(mixtureOf([0, 1], 'weighted', [-2, 1])).toEqual([
      { layer: 0, factor: 0 },
      { layer: 1, factor: 1 },
    ]);
  });

  it('weighted is the mean where no layer matters', () => {
    expect(mixtureOf([0, 1], 'weighted', [-2, 0])).toEqual(mixtureOf([0, 1], 'mean'));
  });

  it.each(['mean', 'weighted'] as SharedWeights[])('%s has factors that sum to 1', (weights) => {
    const random = seeded(7);
    for (let size = 1; size <= 12; size++) {
      const scores = Array.from({ length: size }, () => random() * 2 - 0.5);
      const group = scores.map((_, layer) => layer);
      const sum = mixtureOf(group, weights, scores).reduce((total, { factor }) => total + factor, 0);
      expect(sum).toBeCloseTo(1, 12);
    }
  });
});

describe('mix', () => {
  const layers = [0, 1, 2].map((layer) => randomArray(50, seeded(layer)));
  const read = async (layer: number) => layers[layer]!.slice();

  it('sums the layers by their factors', async () => {
    const sum = await mix(
      [
        { layer: 0, factor: 0.5 },
        { layer: 2, factor: 0.25 },
        { layer: 1, factor: 0.25 },
      ],
      read,
    );
    sum.forEach((value, i) => {
      const wanted = 0.5 * layers[0]![i]! + 0.25 * layers[1]![i]! + 0.25 * layers[2]![i]!;
      expect(value).toBeCloseTo(wanted, 6);
    });
  });

  it('leaves one layer bit for bit', async () => {
    expect(await mix(single(1), read)).toEqual(layers[1]);
  });
});
