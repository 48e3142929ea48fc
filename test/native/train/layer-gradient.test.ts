import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Checkpoint } from '../../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { LayerRunner } from '../../../compressor/forward/layer-runner.ts';
import { LayerTrainer } from '../../../compressor/train/layer-gradient.ts';
import { readBlock, readNorms } from '../../../compressor/weights/block.ts';
import { maxDifference, picoFamilies, picoPath } from '../../fixtures/pico.ts';
import { randomArray, seeded } from '../../fixtures/random-checkpoint.ts';

const shape = { batch: 2, tokens: 20 };

describe.each(picoFamilies)('%s, forward', (family) => {
  let checkpoint: Checkpoint;
  beforeAll(async () => {
    checkpoint = await openCheckpoint(picoPath(family));
  });
  afterAll(() => checkpoint.close());

  it('computes what the runner of single layers computes', async () => {
    const a = checkpoint.architecture;
    using runner = new LayerRunner(a, shape.tokens, { threads: 1 });
    using trainer = new LayerTrainer(a, shape, { threads: 1 });
    const sequences = [3, 4].map((seed) => randomArray(shape.tokens * a.width, seeded(seed), 2));
    for (const layer of a.layers.keys()) {
      const [block, norms] = [
        await readBlock(checkpoint, [{ layer, factor: 1 }]),
        await readNorms(checkpoint, layer),
      ];
      const wanted = sequences.flatMap((hidden) => [...runner.run(layer, block, norms, hidden)]);
      const all = Float32Array.from(sequences.flatMap((hidden) => [...hidden]));
      expect(maxDifference(trainer.forward(layer, block, norms, all), wanted)).toBeLessThan(1e-5);
    }
  });
});
