import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { type LossRequest, TiledLoss } from '../../../compressor/train/tiled-loss.ts';
import { floats } from '../../fixtures/floats.ts';
import { maxDifference } from '../../fixtures/pico.ts';
import { waves } from './waves.ts';

const [tokens, width, vocabulary] = [40, 8, 300];
const normEpsilon = 1e-5;

interface Golden {
  targets: number[];
  cases: {
    weights: { crossEntropy: number; divergence: number };
    crossEntropy: number;
    divergence: number;
    hidden: string;
    norm: string;
    head: string;
  }[];
}
const golden: Golden = JSON.parse(await readFile(new URL('loss.json', import.meta.url), 'utf8'));

/** 3 parts of the tokens and 9 tiles of the vocabulary, neither cut evenly. */
const inTiles = new TiledLoss({ width, normEpsilon, keptLogits: vocabulary * 17, tileLogits: 17 * 37 });
const atOnce = new TiledLoss({ width, normEpsilon });
afterAll(() => {
  inTiles[Symbol.dispose]();
  atOnce[Symbol.dispose]();
});

function request(weights: LossRequest['weights'], changed: Partial<LossRequest> = {}): LossRequest {
  return {
    hidden: waves(tokens * width, 1, 2),
    head: { norm: waves(width, 2, 0.5, 1), weight: waves(vocabulary * width, 3) },
    targets: Int32Array.from(golden.targets),
    teacher: {
      hidden: waves(tokens * width, 4, 2),
      head: { norm: waves(width, 5, 0.5, 1), weight: waves(vocabulary * width, 6) },
    },
    weights,
    ...changed,
  };
}

describe('the tiled loss', () => {
  it.each(golden.cases)("gives PyTorch's loss and gradients for $weights", (wanted) => {
    for (const loss of [inTiles, atOnce]) {
      const headGradient = new Float32Array(vocabulary * width);
      const got = loss.run(request(wanted.weights, { headGradient }));
      expect(got.tokens).toBe(tokens - 4);
      expect(got.crossEntropy).toBeCloseTo(wanted.crossEntropy, 5);
      // Not computed where it has no weight.
      expect(got.divergence).toBeCloseTo(wanted.weights.divergence ? wanted.divergence : 0, 5);
      expect(maxDifference(got.hidden, floats(wanted.hidden))).toBeLessThan(1e-6);
      expect(maxDifference(got.norm, floats(wanted.norm))).toBeLessThan(2e-6);
      expect(maxDifference(headGradient, floats(wanted.head))).toBeLessThan(1e-6);
    }
  });

  it('adds to the gradient of the head, and divides by the denominator it is given', () => {
    const weights = { crossEntropy: 0.3, divergence: 1.7 };
    const whole = new Float32Array(vocabulary * width);
    inTiles.run(request(weights, { headGradient: whole }));
    const added = new Float32Array(vocabulary * width);
    const halves = [0, 1].map((half) => {
      const part = (states: Float32Array) =>
        states.slice((half * tokens * width) / 2, ((half + 1) * tokens * width) / 2);
      const all = request(weights, { headGradient: added, denominator: tokens - 4 });
      return inTiles.run({
        ...all,
        hidden: part(all.hidden),
        targets: all.targets.slice((half * tokens) / 2, ((half + 1) * tokens) / 2),
        teacher: { ...all.teacher!, hidden: part(all.teacher!.hidden) },
      });
    });
    expect(maxDifference(added, whole)).toBeLessThan(1e-7);
    const total = halves.reduce((sum, { crossEntropy, divergence }) => sum + crossEntropy + divergence, 0);
    const { crossEntropy, divergence } = inTiles.run(request(weights));
    expect(total).toBeCloseTo(crossEntropy + divergence, 6);
  });

  it('stays exact where probabilities underflow', () => {
    const weights = { crossEntropy: 1, divergence: 1 };
    const sharp = request(weights);
    sharp.head = { ...sharp.head, norm: sharp.head.norm.map((value) => value * 60) };
    const got = inTiles.run(sharp);
    const wanted = naive(sharp);
    expect(wanted.crossEntropy).toBeGreaterThan(90);
    expect(got.crossEntropy / wanted.crossEntropy).toBeCloseTo(1, 5);
    expect(got.divergence / wanted.divergence).toBeCloseTo(1, 5);
    expect(got.hidden.every(Number.isFinite)).toBe(true);
  });

  it('is zero with its gradient where the student is the teacher', () => {
    const same = request({ crossEntropy: 0, divergence: 1 });
    same.teacher = { hidden: same.hidden, head: same.head };
    const got = inTiles.run(same);
    expect(Math.abs(got.divergence)).toBeLessThan(1e-6);
    expect(maxDifference(got.hidden, new Float32Array(tokens * width))).toBeLessThan(1e-7);
  });

  it('counts nothing where no target counts', () => {
    const none = request({ crossEntropy: 1, divergence: 1 }, { targets: new Int32Array(tokens).fill(-1) });
    const got = inTiles.run(none);
    expect([got.tokens, got.crossEntropy, got.divergence]).toEqual([0, 0, 0]);
    expect(got.hidden.every((value) => value === 0)).toBe(true);
  });

  it('refuses sizes that do not fit together', () => {
    const weights = { crossEntropy: 1, divergence: 0 };
    expect(() => inTiles.run(request(weights, { hidden: new Float32Array(7) }))).toThrow(RangeError);
    expect(() => inTiles.run(request(weights, { targets: new Int32Array(tokens).fill(300) }))).toThrow(/300/);
  });

  it('needs no memory for vocabulary x tokens', async () => {
    const [pieces, many] = [65_536, 1_024];
    const process_ = fileURLToPath(new URL('../../fixtures/loss-memory-process.ts', import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [process_, `${pieces}`, `${many}`]);
    const { bytes, crossEntropy } = JSON.parse(stdout);
    expect(crossEntropy).toBeGreaterThan(0);
    // One array of all logits: 256 MiB; a plain softmax holds five of them.
    expect(pieces * many * 4).toBe(2 ** 28);
    expect(bytes).toBeLessThan(220e6);
  });
});

/** Losses in double precision over full rows of logits. */
function naive({ hidden, head, targets, teacher }: LossRequest): {
  crossEntropy: number;
  divergence: number;
} {
  const student = logProbabilities(hidden, head);
  const guide = logProbabilities(teacher!.hidden, teacher!.head);
  let [crossEntropy, divergence, counted] = [0, 0, 0];
  for (const [t, target] of targets.entries()) {
    if (target < 0) continue;
    counted++;
    crossEntropy -= student[t]![target]!;
    for (const [v, log] of guide[t]!.entries()) divergence += Math.exp(log) * (log - student[t]![v]!);
  }
  return { crossEntropy: crossEntropy / counted, divergence: divergence / counted };
}

function logProbabilities(hidden: Float32Array, { norm, weight }: LossRequest['head']): number[][] {
  return Array.from({ length: tokens }, (_, t) => {
    const state = [...hidden.subarray(t * width, (t + 1) * width)];
    const rms = Math.sqrt(state.reduce((sum, x) => sum + x * x, 0) / width + normEpsilon);
    const logits = Array.from({ length: vocabulary }, (_, v) =>
      state.reduce((sum, x, i) => sum + (x / rms) * norm[i]! * weight[v * width + i]!, 0),
    );
    const highest = Math.max(...logits);
    const logsumexp = highest + Math.log(logits.reduce((sum, z) => sum + Math.exp(z - highest), 0));
    return logits.map((logit) => logit - logsumexp);
  });
}
