import { describe, expect, it } from 'vitest';
import type { Architecture } from '../../compressor/checkpoint/architecture.ts';
import { padHeads } from '../../compressor/checkpoint/pad-heads.ts';
import { foldInto, withDecoder } from '../fixtures/fold-into.ts';
import { maxDifference } from '../fixtures/pico.ts';
import { picoArchitecture, randomCheckpoint } from '../fixtures/random-checkpoint.ts';
import { slowForward } from '../fixtures/slow-forward.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

const tokens = [5, 80, 3, 3, 41, 95, 0, 17, 60, 22];

function withHeads(headSize: number, changed: Partial<Architecture> = {}) {
  return randomCheckpoint({
    ...picoArchitecture,
    headSize,
    attentionScale: 1 / Math.sqrt(headSize),
    rotaries: [
      {
        inverseFrequencies: Array.from({ length: headSize / 2 }, (_, i) => 10000 ** ((-2 * i) / headSize)),
        magnitude: 1,
      },
    ],
    ...changed,
  });
}

describe('heads that the runtime does not take as they are', () => {
  it.each([
    [8, {}],
    [24, {}],
    [10, { qkvBias: true }],
    [2, { heads: 8, kvHeads: 1, tiedHead: false }],
    [16, { qkvBias: true }], // taken as they are: the reference itself is put to the test
  ])('of size %i are padded, and the model computes the same (%j)', async (headSize, changed) => {
    const checkpoint = withHeads(headSize, changed);
    const wanted = await slowForward(checkpoint, tokens);
    const padded = padHeads(checkpoint);
    expect(padded.architecture.headSize % 16).toBe(0);
    const folded = await foldInto(await temporaryFolder(), padded);
    await withDecoder(folded, 32, async (decoder) => {
      const all = decoder.runAll(decoder.newCache(), tokens);
      expect(maxDifference(all, wanted)).toBeLessThan(1e-4);
      const cache = decoder.newCache();
      const steps = tokens.flatMap((token) => [...decoder.run(cache, [token])]);
      expect(maxDifference(steps, wanted)).toBeLessThan(1e-4);
    });
  });

  it('leave all others alone', () => {
    const checkpoint = withHeads(32);
    expect(padHeads(checkpoint)).toBe(checkpoint);
  });
});
