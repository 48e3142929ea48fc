import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { InvalidDataError } from '../../artifact/errors.ts';
import type { Checkpoint } from '../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { evaluateFolded } from '../../compressor/evaluate/folded.ts';
import { evaluateStudent } from '../../compressor/evaluate/student.ts';
import type { TextWindows } from '../../compressor/evaluate/windows.ts';
import { HeadRunner } from '../../compressor/forward/head-runner.ts';
import { rankers } from '../../compressor/rank/index.ts';
import { plannedStudent, unfolded } from '../../compressor/student/planned-student.ts';
import { foldInto } from '../fixtures/fold-into.ts';
import { type Golden, golden, picoForms, picoPath } from '../fixtures/pico.ts';
import { picoArchitecture, randomArray, randomCheckpoint, seeded } from '../fixtures/random-checkpoint.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { textOf } from '../fixtures/texts.ts';

/** Mean -log softmax of the token that follows, from transformers' own logits. */
function goldenLoss({ tokens, vocabulary, logits }: Golden): number {
  let total = 0;
  for (let i = 0; i + 1 < tokens.length; i++) {
    total += lossOf(logits.subarray(i * vocabulary, (i + 1) * vocabulary), tokens[i + 1]!);
  }
  return total / (tokens.length - 1);
}

function lossOf(logits: ArrayLike<number>, target: number): number {
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - logits[target]!);
  return Math.log(sum);
}

describe.each(picoForms)('the loss of %s', (form) => {
  it("is what transformers' logits give, before folding and after", async () => {
    const checkpoint = await openCheckpoint(picoPath(form));
    const expected = await golden(form);
    const nll = goldenLoss(expected);
    const text = textOf([expected.tokens]);
    const planned = await evaluateStudent(unfolded(checkpoint), text);
    expect(planned.nll).toBeCloseTo(nll, 4);
    expect(planned.perplexity).toBeCloseTo(Math.exp(planned.nll), 10);
    expect(planned.tokens).toBe(39);
    const { result, manifest, graphPath } = await foldInto(await temporaryFolder(), checkpoint, { text });
    expect(result.quality.map(({ stage }) => stage)).toEqual(['checkpoint', 'exported']);
    for (const quality of result.quality) expect(quality.nll).toBeCloseTo(nll, 4);
    expect((await evaluateFolded(graphPath, manifest, text)).nll).toBe(result.quality[1]!.nll);
    await checkpoint.close();
  });
});

it('the loss of more windows than are held at a time is that of all', async () => {
  const checkpoint = randomCheckpoint();
  const random = seeded(7);
  const windows = [9, 16, 16, 5, 12].map((length) =>
    Array.from({ length }, () => Math.floor(random() * picoArchitecture.vocabularySize)),
  );
  const text = textOf(windows);
  const whole = await evaluateStudent(unfolded(checkpoint), text);
  const steps: [number, number][] = [];
  const parts = await evaluateStudent(unfolded(checkpoint), text, {
    statesAtATime: 2 * 16 * picoArchitecture.width,
    onProgress: (done, total) => steps.push([done, total]),
  });
  expect(parts.nll).toBeCloseTo(whole.nll, 10);
  expect(parts.tokens).toBe(whole.tokens);
  expect(steps).toEqual(Array.from({ length: 12 }, (_, i) => [i + 1, 12])); // three passes of four layers
});

describe('a measured fold', () => {
  it('ends at once, naming the step, where a model computes no numbers', async () => {
    const whole = randomCheckpoint();
    const broken: Checkpoint = {
      ...whole,
      tensor(role) {
        const tensor = whole.tensor(role);
        if (role !== 'layers.2.mlp.norm') return tensor;
        return { ...tensor, read: async () => (await tensor.read()).fill(Number.NaN) };
      },
    };
    const text = textOf([[1, 2, 3, 4]]);
    const folder = await temporaryFolder();
    const folding = foldInto(folder, broken, { text });
    await expect(folding).rejects.toThrow(/the step "checkpoint", the perplexity is NaN.*fetch it again/);
    await expect(folding).rejects.toThrow(InvalidDataError);
    expect(await readdir(join(folder, 'store')).catch(() => [])).not.toContain('models');
  });

  const text = textOf([1, 2, 3].map((seed) => tokensOf(30 + seed, picoArchitecture.vocabularySize, seed)));
  const stagesOf = async (options: Parameters<typeof foldInto>[2]) => {
    const checkpoint = randomCheckpoint();
    const folded = await foldInto(await temporaryFolder(), checkpoint, { ...options, text });
    return { ...folded, checkpoint };
  };

  it.each([
    [{}, ['checkpoint', 'exported']],
    [{ share: 2 }, ['checkpoint', 'blocks shared']],
    [{ quantize: 'int4' }, ['checkpoint', 'quantized']],
    [{ remove: 0.25 }, ['checkpoint', 'layers removed', 'exported']],
    [{ share: 2, quantize: 'int4' }, ['checkpoint', 'blocks shared', 'quantized']],
    [
      { remove: 0.25, share: 2, quantize: 'int8' },
      ['checkpoint', 'layers removed', 'blocks shared', 'quantized'],
    ],
  ])('by %j measures %j', async (options, stages) => {
    const { result, manifest } = await stagesOf({ ...options, scores: [4, 1, 2, 3] });
    expect(result.quality.map(({ stage }) => stage)).toEqual(stages);
    expect(manifest.quality).toEqual(
      result.quality.map(({ stage, perplexity, tokens }) => ({
        stage,
        perplexity,
        tokens,
        text: 'golden tokens',
      })),
    );
  });

  it('measures each step by itself', async () => {
    const options = {
      remove: 0.25,
      share: 2,
      quantize: 'int8',
      weights: 'mean' as const,
      scores: [4, 1, 2, 3],
    };
    const { result, plan, checkpoint, manifest, graphPath } = await stagesOf(options);
    const [whole, removed, shared, quantized] = result.quality;
    expect(whole).toMatchObject(await evaluateStudent(unfolded(checkpoint), text));
    const kept = { ...plan, layers: [0, 2, 3].map((source, block) => ({ source, block })) };
    expect(removed).toMatchObject(await evaluateStudent(plannedStudent(checkpoint, kept), text));
    expect(shared).toMatchObject(await evaluateStudent(plannedStudent(checkpoint, plan), text));
    expect(quantized).toMatchObject(await evaluateFolded(graphPath, manifest, text));
    expect(new Set(result.quality.map(({ nll }) => nll)).size).toBe(4);
  });

  it('stops at a signal, also where the checkpoint is so quick that nothing else waits', async () => {
    const { graphPath, manifest, checkpoint } = await stagesOf({});
    const many = textOf(Array.from({ length: 50 }, () => [1, 2, 3]));
    const soon = () => {
      const controller = new AbortController();
      setImmediate(() => controller.abort());
      return { signal: controller.signal };
    };
    await expect(evaluateStudent(unfolded(checkpoint), many, soon())).rejects.toThrow(/abort/i);
    await expect(evaluateFolded(graphPath, manifest, many, soon())).rejects.toThrow(/abort/i);
    for (const [name, rank] of Object.entries(rankers)) {
      if (['reverse', 'late-middle', 'uniform'].includes(name)) continue; // they read nothing
      await expect(rank(checkpoint, many, soon())).rejects.toThrow(/abort/i);
    }
    const states = many.windows.map((window) => new Float32Array(window.length * 64).fill(1));
    using head = new HeadRunner(checkpoint);
    await expect(head.losses(states, many.targets, soon().signal)).rejects.toThrow(/abort/i);
  });
});

describe('the head', () => {
  it('gives the loss of a vocabulary that it takes in several tiles', async () => {
    const vocabularySize = 20_000; // tiles end at 8192 and 16384
    const width = 16;
    const checkpoint = randomCheckpoint({ ...picoArchitecture, width, vocabularySize });
    const targets = [0, 8191, 8192, 12_345, 16_383, 16_384, vocabularySize - 1, -1];
    const states = randomArray(targets.length * width, seeded(5), 30);
    using head = new HeadRunner(checkpoint);
    const [losses] = await head.losses([states], [Int32Array.from(targets)]);
    const logits = await head.logits(states);

    const gamma = await checkpoint.tensor('norm').read();
    const weight = await checkpoint.tensor('embedding').read();
    for (const [t, target] of targets.entries()) {
      const state = [...states.subarray(t * width, (t + 1) * width)];
      const rms = Math.sqrt(state.reduce((sum, x) => sum + x * x, 0) / width + picoArchitecture.normEpsilon);
      const normalized = state.map((x, i) => (x / rms) * gamma[i]!);
      const row = Array.from({ length: vocabularySize }, (_, token) =>
        normalized.reduce((sum, x, i) => sum + x * weight[token * width + i]!, 0),
      );
      expect(losses![t]).toBeCloseTo(target < 0 ? 0 : lossOf(row, target), 4);
      for (const token of [0, 8191, 8192, vocabularySize - 1]) {
        expect(logits[t * vocabularySize + token]).toBeCloseTo(row[token]!, 4);
      }
    }
  });

  it('gives the losses of several texts apart', async () => {
    const checkpoint = randomCheckpoint();
    const texts = [3, 1, 7].map((length, seed) => tokensOf(length + 1, 96, seed));
    const apart = [];
    for (const tokens of texts) {
      apart.push(await evaluateStudent(unfolded(checkpoint), textOf([tokens])));
    }
    const together = await evaluateStudent(unfolded(checkpoint), textOf(texts));
    const total = apart.reduce((sum, { nll, tokens }) => sum + nll * tokens, 0);
    expect(together.tokens).toBe(11);
    expect(together.nll).toBeCloseTo(total / 11, 5);
  });
});

it('a folded model of a large vocabulary is measured a part of each text at a time', async () => {
  // 64 MB of logits at a time are 83 of these 100 positions.
  const checkpoint = randomCheckpoint({ ...picoArchitecture, width: 16, vocabularySize: 200_000 });
  const text: TextWindows = textOf([tokensOf(100, 200_000, 1)]);
  const { graphPath, manifest } = await foldInto(await temporaryFolder(), checkpoint, { share: 4 });
  const plan = { layers: manifest.layers, weights: 'first' as const };
  const planned = await evaluateStudent(plannedStudent(checkpoint, plan), text);
  expect((await evaluateFolded(graphPath, manifest, text)).nll).toBeCloseTo(planned.nll, 4);
});

function tokensOf(length: number, vocabulary: number, seed: number): number[] {
  const random = seeded(seed);
  return Array.from({ length }, () => Math.floor(random() * vocabulary));
}
