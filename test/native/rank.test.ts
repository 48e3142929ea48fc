import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { evaluateStudent, runStudent } from '../../compressor/evaluate/student.ts';
import { embed } from '../../compressor/forward/embed.ts';
import { rankers } from '../../compressor/rank/index.ts';
import { type LayerPlan, plannedStudent, unfolded } from '../../compressor/student/planned-student.ts';
import { golden, picoFamilies, picoPath } from '../fixtures/pico.ts';
import { textOf } from '../fixtures/texts.ts';

const plan = (sources: number[]): LayerPlan => ({
  layers: sources.map((source, block) => ({ source, block })),
  weights: 'first',
});

describe.each(picoFamilies)('ranking the layers of %s', (family) => {
  const open = async () => {
    const { tokens } = await golden(family);
    const text = textOf([tokens, tokens.slice(5, 18), tokens.slice(0, 2)]);
    return { checkpoint: await openCheckpoint(picoPath(family)), text };
  };

  it('by influence gives 1 - the mean cosine of what goes in and what comes out', async () => {
    const { checkpoint, text } = await open();
    const { width, layers } = checkpoint.architecture;
    const scores = await rankers.influence!(checkpoint, text);
    let before = await embed(checkpoint, text.windows);
    for (const layer of layers.keys()) {
      const after = await runStudent(
        plannedStudent(checkpoint, plan([...layers.keys()].slice(0, layer + 1))),
        text.windows,
      );
      const cosines = before.flatMap((state, i) =>
        Array.from({ length: state.length / width }, (_, t) => {
          const [x, y] = [state, after[i]!].map((all) => [...all.subarray(t * width, (t + 1) * width)]);
          const dot = (a: number[], b: number[]) => a.reduce((sum, value, k) => sum + value * b[k]!, 0);
          return dot(x!, y!) / Math.sqrt(dot(x!, x!)) / Math.sqrt(dot(y!, y!));
        }),
      );
      const mean = cosines.reduce((sum, value) => sum + value, 0) / cosines.length;
      expect(cosines).toHaveLength(40 + 13 + 2);
      expect(scores[layer]).toBeCloseTo(1 - mean, 6);
      before = after;
    }
    expect(scores).toHaveLength(layers.length);
    await checkpoint.close();
  });

  it('by loss gives the rise of the loss without each', async () => {
    const { checkpoint, text } = await open();
    const layers = [...checkpoint.architecture.layers.keys()];
    const scores = await rankers.loss!(checkpoint, text);
    const whole = await evaluateStudent(unfolded(checkpoint), text);
    for (const left of layers) {
      const without = await evaluateStudent(
        plannedStudent(checkpoint, plan(layers.filter((layer) => layer !== left))),
        text,
      );
      expect(scores[left]).toBeCloseTo(without.nll - whole.nll, 6);
    }
    expect(scores).toHaveLength(layers.length);
    await checkpoint.close();
  });
});

it.each(Object.entries(rankers))(
  'ranking by %s stops at a signal and counts its steps',
  async (_name, rank) => {
    const checkpoint = await openCheckpoint(picoPath('llama'));
    const text = textOf([[1, 2, 3, 4]]);
    const steps: [number, number][] = [];
    await rank(checkpoint, text, { onProgress: (done, total) => steps.push([done, total]) });
    const total = steps.at(-1)![1];
    expect(steps).toEqual(Array.from({ length: total }, (_, i) => [i + 1, total]));

    const controller = new AbortController();
    const how = { signal: controller.signal, onProgress: () => controller.abort() };
    await expect(rank(checkpoint, text, how)).rejects.toThrow(/abort/i);
    await checkpoint.close();
  },
);
