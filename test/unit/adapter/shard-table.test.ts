import { describe, expect, it } from 'vitest';
import { usualPool } from '../../../compressor/adapter/adapter.ts';
import { drawShards, poolSize } from '../../../compressor/adapter/shard-table.ts';

describe('the size of a pool', () => {
  it('is an eighth of what is made of it, half of it private', () => {
    // 5 layers of 16 vectors in 4 pieces each: 320 places, 40 shards.
    expect(poolSize(96, 16, 5, usualPool)).toEqual({
      ...{ pieces: 4, size: 24, shards: 40, private: 4, public: 20 },
    });
  });

  it('has no less than one public shard, and pieces that divide the vector', () => {
    for (const length of [6, 7, 64, 90])
      for (const rank of [1, 2, 3, 7])
        for (const layers of [1, 2, 5])
          for (const privateShare of [0, 0.5, 0.99]) {
            const size = poolSize(length, rank, layers, { ...usualPool, privateShare });
            expect(size.public).toBeGreaterThanOrEqual(1);
            expect(size.public + layers * size.private).toBe(size.shards);
            expect(size.shards).toBe(Math.ceil((layers * rank * size.pieces) / 8));
            expect(size.pieces * size.size).toBe(length);
            expect(size.private).toBeLessThanOrEqual(rank * size.pieces);
          }
    expect([6, 7, 64, 90].map((length) => poolSize(length, 8, 1, usualPool).pieces)).toEqual([2, 1, 4, 2]);
  });
});

describe('the shards of each layer', () => {
  const form = { ...usualPool, seed: 3 };
  const draw = (stream: number, seed = 3) => drawShards(64, 16, 6, { ...form, seed }, stream);

  it('are its own in the first places, and from the common ones in all others', () => {
    const { indices, ...size } = draw(0);
    for (const [layer, table] of indices.entries()) {
      const own = Array.from({ length: size.private }, (_, i) => size.public + layer * size.private + i);
      expect([...table.slice(0, size.private)]).toEqual(own);
      expect(table.slice(size.private).every((shard) => shard >= 0 && shard < size.public)).toBe(true);
      expect(table).toHaveLength(64);
    }
  });

  it('are used about as often as each other, and by each layer otherwise', () => {
    const { indices, ...size } = draw(0);
    const uses = new Array<number>(size.public).fill(0);
    for (const table of indices) for (const shard of table.slice(size.private)) uses[shard]!++;
    expect(Math.max(...uses) - Math.min(...uses)).toBeLessThanOrEqual(1);
    expect(new Set(indices.map((table) => table.slice(size.private).join())).size).toBe(6);
  });

  it('are chosen by seed and stream alone: the sides of a product differ, and so do the kinds', () => {
    expect(draw(0)).toEqual(draw(0));
    const tables = [draw(0), draw(1), draw(2), draw(0, 4)].map(({ indices }) => indices[0]!.join());
    expect(new Set(tables).size).toBe(4);
  });
});
