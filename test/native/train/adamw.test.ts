import { readFile } from 'node:fs/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AdamW, type AdamWOptions, type Parameter } from '../../../compressor/train/adamw.ts';
import { floats } from '../../fixtures/floats.ts';
import { maxDifference } from '../../fixtures/pico.ts';
import { waves } from './waves.ts';

interface Golden {
  options: AdamWOptions;
  norms: number[];
  matrix: string;
  vector: string;
}
const goldens: Golden[] = JSON.parse(await readFile(new URL('adamw.json', import.meta.url), 'utf8'));

const [rate, clipNorm] = [0.03, 1.5];

function adamw(parameters: Parameter[], options: AdamWOptions): AdamW {
  const optimizer = new AdamW(parameters, options);
  onTestFinished(() => optimizer[Symbol.dispose]());
  return optimizer;
}

const parameter = (kind: Parameter['kind'], values: Float32Array): Parameter => ({
  name: kind,
  values,
  gradient: new Float32Array(values.length),
  kind,
});

describe('AdamW', () => {
  it.each(goldens)('takes the ten steps of torch.optim.AdamW with $options', ({ options, ...wanted }) => {
    const matrix = parameter('matrix', waves(1200, 1));
    const vector = parameter('vector', waves(50, 2, 0.5, 1));
    const optimizer = adamw([matrix, vector], { ...options, clipNorm });
    for (let step = 0; step < 10; step++) {
      const scale = 0.2 / (1 + step);
      matrix.gradient.set(waves(1200, 10 + step, scale));
      vector.gradient.set(waves(50, 30 + step, scale));
      expect(optimizer.step(rate / (1 + (step % 3)))).toBeCloseTo(wanted.norms[step]!, 5);
    }
    // Both branches of the clipping were taken.
    expect(wanted.norms[0]).toBeGreaterThan(clipNorm);
    expect(wanted.norms[9]).toBeLessThan(clipNorm);
    expect(maxDifference(matrix.values, floats(wanted.matrix))).toBeLessThan(2e-6);
    expect(maxDifference(vector.values, floats(wanted.vector))).toBeLessThan(2e-6);
  });

  it('updates every number of a parameter longer than a chunk alike', () => {
    const long = parameter('matrix', new Float32Array(2 ** 18 + 100_003).fill(0.5));
    const optimizer = adamw([long], {});
    for (let step = 0; step < 3; step++) {
      long.gradient.fill(0.001 * (step + 1));
      optimizer.step(0.01);
    }
    expect(long.values[0]).not.toBe(0.5);
    expect(long.values.every((value) => value === long.values[0])).toBe(true);
    expect(optimizer.moments[0]!.square.every((value) => value === optimizer.moments[0]!.square[0])).toBe(
      true,
    );
  });

  it('changes nothing where a gradient is not finite', () => {
    const one = parameter('matrix', waves(8, 1));
    const optimizer = adamw([one], {});
    one.gradient[3] = Number.NaN;
    expect(() => optimizer.step(0.01)).toThrow(/diverged.*NaN/);
    expect(maxDifference(one.values, waves(8, 1))).toBe(0);
    expect(optimizer.steps).toBe(0);
  });
});
