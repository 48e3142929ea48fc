import { readFile } from 'node:fs/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { unfolded } from '../../../compressor/student/planned-student.ts';
import { settle } from '../../../compressor/train/cure-options.ts';
import { CureRun } from '../../../compressor/train/cure-run.ts';
import { TrainedWeights } from '../../../compressor/train/trained-weights.ts';
import { floats } from '../../fixtures/floats.ts';
import { maxDifference, type PicoForm, picoPath } from '../../fixtures/pico.ts';

interface Golden {
  cases: {
    family: PicoForm;
    tokens: number[];
    targets: number[];
    gradients: Record<string, { every5: string; norm: number }>;
    steps: { learningRate: number; crossEntropy: number; gradientNorm: number }[];
  }[];
}
const reference: Golden = JSON.parse(await readFile(new URL('whole.json', import.meta.url), 'utf8'));

describe('a model that is trained whole, on text alone', () => {
  it.each(reference.cases)(
    "has PyTorch's gradients of embedding and head, and steps: $family",
    async (wanted) => {
      const checkpoint = await openCheckpoint(picoPath(wanted.family));
      onTestFinished(() => checkpoint.close());
      const settings = settle(
        {
          ...{ data: [], folder: '', tokens: 1000, length: 24, tokensPerStep: 48, batch: 2 },
          ...{ part: 'model', crossEntropy: 1, divergence: 0, weightDecay: 0.1 },
        },
        128,
      );
      const weights = await TrainedWeights.read(unfolded(checkpoint), settings.part);
      const keep = { keepTeacher: false, keepActivations: true };
      using run = await CureRun.open(checkpoint, weights, settings, keep);
      const batch = { tokens: Int32Array.from(wanted.tokens), targets: Int32Array.from(wanted.targets) };
      for (const [i, { learningRate, crossEntropy, gradientNorm }] of wanted.steps.entries()) {
        const got = await run.step([batch], learningRate);
        expect(got.crossEntropy / crossEntropy).toBeCloseTo(1, 4);
        expect(got.gradientNorm / gradientNorm).toBeCloseTo(1, 3);
        expect([got.divergence, got.tail]).toEqual([0, 0]);
        if (i > 0) continue;
        const found = weights.gradients.vocabulary;
        expect(Object.keys(found)).toEqual(Object.keys(wanted.gradients));
        for (const [name, { every5, norm }] of Object.entries(wanted.gradients)) {
          const gradient = found[name as 'embedding' | 'head']!;
          const difference = maxDifference(
            gradient.filter((_, k) => k % 5 === 0),
            floats(every5),
          );
          expect(difference / (norm / Math.sqrt(gradient.length)), name).toBeLessThan(1e-3);
        }
      }
      // Nobody is asked: what is measured is the student alone, with the embedding it has learnt.
      const exam = await run.prepare([batch]);
      expect(exam.teacher).toBeUndefined();
      expect((await run.examine(exam)).crossEntropy).toBeLessThan(wanted.steps[0]!.crossEntropy);
      expect(await weights.asStudent().tensor('embedding').read(3, 2)).not.toEqual(
        await checkpoint.tensor('embedding').read(3, 2),
      );
    },
  );
});
