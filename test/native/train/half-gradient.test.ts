import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { halves } from '../../../artifact/manifest.ts';
import type { Checkpoint } from '../../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { LayerRunner } from '../../../compressor/forward/layer-runner.ts';
import {
  activationLength,
  type LayerGradients,
  LayerTrainer,
} from '../../../compressor/train/layer-gradient.ts';
import { type BlockWeights, readBlock, readLayer, readNorms } from '../../../compressor/weights/block.ts';
import type { OwnWeights } from '../../../compressor/weights/own.ts';
import { relativeDifference } from '../../fixtures/gradients/relative-difference.ts';
import { maxDifference, picoFamilies, picoPath } from '../../fixtures/pico.ts';
import { randomArray, seeded } from '../../fixtures/random-checkpoint.ts';

const tokens = 14; // more than the windows of 12
const layer = 1;

describe.each(picoFamilies)('half a layer of %s', (family) => {
  let checkpoint: Checkpoint;
  let runner: LayerRunner;

  beforeAll(async () => {
    checkpoint = await openCheckpoint(picoPath(family));
    runner = new LayerRunner(checkpoint.architecture, tokens, { threads: 1 });
  });

  afterAll(async () => {
    runner[Symbol.dispose]();
    await checkpoint.close();
  });

  it('is the whole layer, with the other half behind or before it', async () => {
    const a = checkpoint.architecture;
    const hidden = randomArray(tokens * a.width, seeded(1), 2);
    const { block, norms } = await readLayer(checkpoint, layer);
    const whole = runner.run(layer, block, norms, hidden);
    let run = hidden;
    using trainer = new LayerTrainer(a, { batch: 1, tokens }, { threads: 1 });
    for (const half of halves) {
      const own = await readNorms(checkpoint, layer, half);
      // A block of that half alone serves it as well as a whole one.
      const [fromHalf, fromWhole] = [await readBlock(checkpoint, one, half), block];
      const next = runner.run(layer, fromHalf, own, run);
      expect(runner.run(layer, fromWhole, own, run)).toEqual(next);
      expect(maxDifference(trainer.forward(layer, block, own, run), next)).toBeLessThan(1e-4);
      run = next;
    }
    expect(maxDifference(run, whole)).toBeLessThan(1e-4);
  });

  it.each(halves)('has the gradients that finite differences give (%s)', async (half) => {
    const a = checkpoint.architecture;
    const block = await readBlock(checkpoint, one, half);
    const own = await readNorms(checkpoint, layer, half);
    const hidden = randomArray(tokens * a.width, seeded(1), 2);
    const gradOut = randomArray(hidden.length, seeded(2));
    using trainer = new LayerTrainer(a, { batch: 1, tokens }, { threads: 1 });
    const into = zerosOf(block, own);
    const back = trainer.backward(layer, block, own, hidden, gradOut, into);
    const loss = (weights: BlockWeights, norms: OwnWeights, from: Float32Array) =>
      runner.run(layer, weights, norms, from).reduce((sum, value, i) => sum + value * gradOut[i]!, 0);

    const checks: [string, Float32Array, Float32Array, (moved: Float32Array) => number][] = [
      ['hidden', hidden, back.hidden, (moved) => loss(block, own, moved)],
    ];
    for (const [name, values] of Object.entries(block.matrices)) {
      const gradient = into.matrices[name as keyof typeof into.matrices]!;
      const at = (moved: Float32Array) =>
        loss({ ...block, matrices: { ...block.matrices, [name]: moved } }, own, hidden);
      checks.push([name, values, gradient, at]);
    }
    for (const [name, values] of Object.entries(own)) {
      const gradient = into.own[name as keyof OwnWeights]!;
      checks.push([name, values, gradient, (moved) => loss(block, { ...own, [name]: moved }, hidden)]);
    }
    if (block.qkvBias)
      checks.push([
        'bias',
        block.qkvBias,
        into.qkvBias!,
        (qkvBias) => loss({ ...block, qkvBias }, own, hidden),
      ]);
    expect(checks.length).toBeGreaterThan(3);
    for (const [i, [name, values, gradient, at]] of checks.entries()) {
      // Along the gradient, some of it turned away: a slope that is far from zero, and none that is alike for all.
      const size = Math.hypot(...gradient);
      const noise = randomArray(values.length, seeded(20 + i), size / Math.sqrt(values.length));
      const direction = gradient.map((g, k) => (g + noise[k]!) / size);
      const step = 2e-3;
      const moved = (by: number) => values.map((value, k) => value + by * direction[k]!);
      const slope = (at(moved(step)) - at(moved(-step))) / (2 * step);
      const wanted = gradient.reduce((sum, g, k) => sum + g * direction[k]!, 0);
      expect(Math.abs(slope / wanted - 1), name).toBeLessThan(0.02);
    }

    const gate = 0.7;
    const gated = trainer.backward(layer, block, own, hidden, gradOut, undefined, gate);
    const out = runner.run(layer, block, own, hidden);
    const added = out.reduce((sum, value, i) => sum + (value - hidden[i]!) * gradOut[i]!, 0);
    expect(gated.gate / added).toBeCloseTo(1, 3);

    const activations = new Float32Array(activationLength(a, { batch: 1, tokens }, half)).fill(Number.NaN);
    const again = zerosOf(block, own);
    trainer.forward(layer, block, own, hidden, 1, activations);
    const kept = trainer.backward(layer, block, own, hidden, gradOut, again, 1, activations);
    expect(relativeDifference(kept.hidden, back.hidden)).toBeLessThan(1e-5);
    for (const [name, values] of Object.entries({ ...into.matrices, ...into.own }))
      expect(relativeDifference({ ...again.matrices, ...again.own }[name]!, values), name).toBeLessThan(1e-4);
  });
});

const one = [{ layer, factor: 1 }];

function zerosOf({ matrices, qkvBias }: BlockWeights, own: OwnWeights): LayerGradients {
  const like = <T extends object>(arrays: T) =>
    Object.fromEntries(
      Object.entries(arrays).map(([name, { length }]) => [name, new Float32Array(length)]),
    ) as T;
  return {
    matrices: like(matrices),
    own: like(own),
    ...(qkvBias && { qkvBias: new Float32Array(qkvBias.length) }),
  };
}
