import { expect, it } from 'vitest';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { layerSimilarity } from '../../../compressor/compare/similarity.ts';
import { runStudent } from '../../../compressor/evaluate/student.ts';
import { embed } from '../../../compressor/forward/embed.ts';
import { rankers } from '../../../compressor/rank/index.ts';
import { plannedStudent } from '../../../compressor/student/planned-student.ts';
import { golden, picoFamilies, picoPath } from '../../fixtures/pico.ts';
import { textOf } from '../../fixtures/texts.ts';

it.each(picoFamilies)('of layers is the mean cosine of their states: %s', async (family) => {
  const { tokens } = await golden(family);
  const text = textOf([tokens, tokens.slice(5, 18)]);
  const checkpoint = await openCheckpoint(picoPath(family));
  const { width, layers } = checkpoint.architecture;
  const similarity = await layerSimilarity(checkpoint, text.windows);
  expect(similarity).toHaveLength(layers.length + 1);

  const depths = [await embed(checkpoint, text.windows)];
  for (let count = 1; count <= layers.length; count++) {
    const first = Array.from({ length: count }, (_, source) => ({ source, block: source }));
    const student = plannedStudent(checkpoint, { layers: first, weights: 'first' });
    depths.push(await runStudent(student, text.windows));
  }
  const cosine = (a: Float32Array, b: Float32Array) => {
    const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, k) => sum + value * y[k]!, 0);
    return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  };
  for (const [i, a] of depths.entries()) {
    for (const [j, b] of depths.entries()) {
      const cosines = a.flatMap((states, w) =>
        Array.from({ length: states.length / width }, (_, t) =>
          cosine(
            ...([states, b[w]!].map((all) => all.subarray(t * width, (t + 1) * width)) as [
              Float32Array,
              Float32Array,
            ]),
          ),
        ),
      );
      const mean = cosines.reduce((sum, value) => sum + value, 0) / cosines.length;
      expect(similarity[i]![j]).toBeCloseTo(mean, 5);
    }
  }
  const { scores } = await rankers.influence!(checkpoint, text);
  for (const layer of layers.keys())
    expect(1 - similarity[layer]![layer + 1]!).toBeCloseTo(scores[layer]!, 5);
  await checkpoint.close();
});
