import { readFile } from 'node:fs/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { adaptStudent } from '../../../compressor/adapter/adapt-student.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { padHeads } from '../../../compressor/checkpoint/pad-heads.ts';
import { makePlan } from '../../../compressor/plan/make-plan.ts';
import { plannedStudent, unfolded } from '../../../compressor/student/planned-student.ts';
import type { Student } from '../../../compressor/student/student.ts';
import { type CureOptions, settle } from '../../../compressor/train/cure-options.ts';
import { CureRun } from '../../../compressor/train/cure-run.ts';
import { TrainedWeights } from '../../../compressor/train/trained-weights.ts';
import { floats } from '../../fixtures/floats.ts';
import { golden, maxDifference, type PicoForm, picoFamilies, picoPath } from '../../fixtures/pico.ts';
import { picoArchitecture, randomCheckpoint, seeded } from '../../fixtures/random-checkpoint.ts';
import { waves } from './waves.ts';

interface Golden {
  weights: { crossEntropy: number; divergence: number; tailWeight: number };
  cases: {
    family: PicoForm;
    gradients: Record<string, { every5: string; norm: number }>;
    steps: {
      tokens: number[];
      targets: number[];
      learningRate: number;
      crossEntropy: number;
      divergence: number;
      tail: number;
      gradientNorm: number;
    }[];
  }[];
}
const reference: Golden = JSON.parse(await readFile(new URL('cure.json', import.meta.url), 'utf8'));

/** As in make-cure.py: layers 1 and 2 share a block, a patch follows layer 1. */
async function open(family: PicoForm, changed: Partial<CureOptions>) {
  const checkpoint = await openCheckpoint(picoPath(family));
  onTestFinished(() => checkpoint.close());
  const { width } = checkpoint.architecture;
  const layers = [0, 1, 2].map((source) => ({ source, block: Math.min(source, 1) }));
  const patch = { weight: waves(width * width, 1, 0.05), bias: waves(width, 2, 0.05) };
  const student: Student = {
    ...plannedStudent(checkpoint, { layers, weights: 'first' }),
    patch: async (index) => (index === 1 ? patch : undefined),
  };
  const options = { data: [], folder: '', tokens: 1000, length: 24, tokensPerStep: 96, batch: 2 };
  const settings = settle({ ...options, ...changed }, 128);
  const weights = await TrainedWeights.read(student, settings.part);
  const run = await CureRun.open(checkpoint, weights, settings, {
    keepTeacher: false,
    keepActivations: false,
  });
  onTestFinished(() => run[Symbol.dispose]());
  return { run, weights, student };
}

const halves = ({ tokens, targets }: { tokens: number[]; targets: number[] }) =>
  [0, 48].map((start) => ({
    tokens: Int32Array.from(tokens.slice(start, start + 48)),
    targets: Int32Array.from(targets.slice(start, start + 48)),
  }));

describe('a step of the cure', () => {
  it.each(reference.cases)("has PyTorch's losses, gradients and effect: $family", async (wanted) => {
    const { run, weights } = await open(wanted.family, {
      ...reference.weights,
      tailLayers: 2,
      weightDecay: 0.1,
      vectorRate: 2,
    });
    for (const [i, { learningRate, ...step }] of wanted.steps.entries()) {
      const got = await run.step(halves(step), learningRate);
      for (const name of ['crossEntropy', 'divergence', 'tail', 'gradientNorm'] as const)
        expect(got[name] / step[name]).toBeCloseTo(1, 3);
      if (i > 0) continue;
      const names = weights.parameters.map(({ name }) => name);
      expect(names.toSorted()).toEqual(Object.keys(wanted.gradients).toSorted());
      for (const { name, gradient } of weights.parameters) {
        const { every5, norm } = wanted.gradients[name]!;
        const difference = maxDifference(
          gradient.filter((_, k) => k % 5 === 0),
          floats(every5),
        );
        // Relative to the gradient's own size: a typical number of it, times 1e-3.
        expect(difference / (norm / Math.sqrt(gradient.length)), name).toBeLessThan(1e-3);
        expect(Math.hypot(...gradient) / norm, name).toBeCloseTo(1, 4);
      }
    }
    // Each step's losses depend on the updates before it: they must have moved visibly.
    expect(wanted.steps[2]!.divergence / wanted.steps[0]!.divergence).toBeLessThan(0.9);
  });

  it('weighs the states so that they count as much as the output, if asked', async () => {
    const { steps } = reference.cases[0]!;
    const { learningRate, ...step } = steps[0]!;
    const batches = [halves(step)[0]!];
    const weights = { crossEntropy: 0.4, divergence: 0.8, tailLayers: 2, tokensPerStep: 48 };
    const balanced = await open(reference.cases[0]!.family, {
      ...weights,
      tailWeight: 0.5,
      balanceTail: true,
    });
    const got = await balanced.run.step(batches, learningRate);
    const output = 0.4 * got.crossEntropy + 0.8 * got.divergence;
    expect(got.loss / (1.5 * output)).toBeCloseTo(1, 6);
    // The same weight, given as a number, is no part of the gradient either.
    const fixed = await open(reference.cases[0]!.family, {
      ...weights,
      tailWeight: (0.5 * output) / got.tail,
    });
    expect((await fixed.run.step(batches, learningRate)).gradientNorm / got.gradientNorm).toBeCloseTo(1, 6);
    const plain = await open(reference.cases[0]!.family, { ...weights, tailWeight: 0.5 });
    const other = await plain.run.step(batches, learningRate);
    expect(Math.abs(other.gradientNorm / got.gradientNorm - 1)).toBeGreaterThan(0.01);
    for (const [i, { name, gradient }] of balanced.weights.parameters.entries())
      expect(maxDifference(gradient, fixed.weights.parameters[i]!.gradient), name).toBeLessThan(1e-6);
  });

  it.each(picoFamilies)('sees in teacher and unfolded student what transformers sees: %s', async (family) => {
    const { tokens, vocabulary, logits } = await golden(family);
    const targets = tokens.map((_, t) => (t * 37 + 5) % vocabulary);
    const wanted = targets.map((target, t) => {
      const row = logits.subarray(t * vocabulary, (t + 1) * vocabulary);
      return Math.log(row.reduce((sum, z) => sum + Math.exp(z), 0)) - row[target]!;
    });
    const checkpoint = await openCheckpoint(picoPath(family));
    onTestFinished(() => checkpoint.close());
    const [length, tokensPerStep] = [tokens.length, tokens.length];
    const settings = settle({ data: [], folder: '', tokens: 1000, length, tokensPerStep }, 128);
    const weights = await TrainedWeights.read(unfolded(checkpoint), 'all');
    const run = await CureRun.open(checkpoint, weights, settings, {
      keepTeacher: true,
      keepActivations: true,
    });
    onTestFinished(() => run[Symbol.dispose]());
    const batch = { tokens: Int32Array.from(tokens), targets: Int32Array.from(targets) };
    const exam = await run.prepare([batch, batch]);
    expect(exam.teacher!.loss).toBeCloseTo(wanted.reduce((sum, loss) => sum + loss, 0) / tokens.length, 4);
    const { crossEntropy, divergence } = await run.examine(exam);
    expect(crossEntropy).toBeCloseTo(exam.teacher!.loss, 6);
    expect(divergence).toBeCloseTo(0, 6);
    // There is nothing to learn, and nothing is forgotten.
    const { loss, gradientNorm } = await run.step([batch], 0);
    expect(loss).toBeCloseTo(0, 6);
    expect(gradientNorm).toBeLessThan(1e-4);
  });

  it('leaves every matrix as it is where norms alone are trained', async () => {
    const { run, weights, student } = await open('llama', { part: 'norms' });
    const { steps } = reference.cases[0]!;
    const first = await run.step(halves(steps[0]!), 1e-3);
    expect(await run.step(halves(steps[0]!), 1e-3)).not.toEqual(first);
    const names = weights.parameters.map(({ name }) => name);
    expect(names).toEqual(
      [0, 1, 2].flatMap((i) => [`layers.${i}.attention.norm`, `layers.${i}.mlp.norm`]).concat('norm'),
    );
    for (const block of [0, 1]) expect(weights.blocks[block]).toEqual(await student.block(block));
    expect(weights.patches[1]).toEqual(await student.patch(1));
    for (const index of [0, 1, 2]) expect(weights.own[index]).not.toEqual(await student.own(index));
    expect(weights.asStudent().unchanged(0)).toBe(0);
  });

  it('trains norms and adapters alone where these are asked for, and gains faster', async () => {
    const checkpoint = randomCheckpoint();
    const plan = makePlan(
      { name: 'random', layers: 4 },
      { method: 'given', scores: [9, 1, 9, 9] },
      {
        ...{ remove: 0.25, share: 2, weights: 'first', quantize: 'none', keep: [] },
        ...{ refill: 'previous', adapter: { gains: true, rank: 2 } },
      },
    );
    const student = await adaptStudent(checkpoint, plannedStudent(checkpoint, plan), plan);
    const options = { data: [], folder: '', tokens: 1000, length: 24, tokensPerStep: 96, batch: 2 };
    const settings = settle({ ...options, part: 'adapters' }, 128);
    const weights = await TrainedWeights.read(student, settings.part);
    const keep = { keepTeacher: true, keepActivations: true };
    using run = await CureRun.open(checkpoint, weights, settings, keep);
    const random = seeded(3);
    const drawn = () => Int32Array.from({ length: 48 }, () => Math.floor(random() * 96));
    const batches = [1, 2].map(() => ({ tokens: drawn(), targets: drawn() }));
    const rate = 1e-3;
    const before = await run.step(batches, rate);
    for (const block of weights.blocks.keys())
      expect(weights.blocks[block]).toEqual(await student.block(block));
    for (const index of student.layers.keys()) {
      const own = (await student.own(index)) as Record<string, Float32Array>;
      for (const [name, values] of Object.entries(weights.own[index]!)) {
        const moved = maxDifference(values, own[name]!);
        // Where the gains are at zero, nothing behind them has a gradient yet. Adam's first step is the rate.
        if (name.endsWith('.gain')) expect(moved / rate, name).toBeCloseTo(10, 2);
        else if (student.layers[index]!.refill) expect(moved, name).toBeLessThan(2 * rate);
        else expect(moved / rate, name).toBeCloseTo(1, 1);
      }
    }
    expect((await run.step(batches, rate)).loss).toBeLessThan(before.loss);
  });

  it('does not touch the weights of the student it was given', async () => {
    const { run, weights, student } = await open('llama', {});
    const before = structuredClone(await student.patch(1));
    await run.step(halves(reference.cases[0]!.steps[0]!), 1e-2);
    expect(await student.patch(1)).toEqual(before);
    expect(weights.patches[1]).not.toEqual(before);
    const trained = weights.asStudent();
    expect(await trained.matrix(1, 'down')).toBe(weights.blocks[1]!.matrices.down);
    expect(await trained.tensor('norm').read()).toEqual(weights.finalNorm);
    expect(trained.unchanged(0)).toBeUndefined();
  });

  it('leaves the zeros that pad heads as they are', async () => {
    const inverseFrequencies = Array.from({ length: 5 }, (_, i) => 10000 ** (-i / 5));
    const odd = { headSize: 10, attentionScale: 0.3, rotaries: [{ inverseFrequencies, magnitude: 1 }] };
    const checkpoint = padHeads(randomCheckpoint({ ...picoArchitecture, ...odd }));
    const student = plannedStudent(checkpoint, { layers: [{ source: 0, block: 0 }], weights: 'first' });
    const weights = await TrainedWeights.read(student, 'all');
    const settings = settle({ data: [], folder: '', tokens: 1000, length: 16, tokensPerStep: 16 }, 128);
    const run = await CureRun.open(checkpoint, weights, settings, {
      keepTeacher: false,
      keepActivations: false,
    });
    onTestFinished(() => run[Symbol.dispose]());
    const tokens = Int32Array.from({ length: 16 }, (_, t) => (t * 29) % 96);
    const { qkv, output } = (await student.block(0)).matrices;
    for (const rate of [0.01, 0.01]) await run.step([{ tokens, targets: tokens.toReversed() }], rate);
    for (const [before, after] of [
      [qkv!, weights.blocks[0]!.matrices.qkv!],
      [output!, weights.blocks[0]!.matrices.output!],
    ] as const) {
      const zeros = [...before.keys()].filter((i) => before[i] === 0);
      expect(zeros.length / before.length).toBeCloseTo(6 / 16, 1);
      expect(zeros.filter((i) => after[i] !== 0)).toEqual([]);
      expect(after).not.toEqual(before);
    }
  });
});
