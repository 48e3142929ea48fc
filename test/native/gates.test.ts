import { describe, expect, it } from 'vitest';
import type { Checkpoint, CheckpointTensor } from '../../compressor/checkpoint/checkpoint.ts';
import { evaluateStudent, runStudent } from '../../compressor/evaluate/student.ts';
import type { TextWindows } from '../../compressor/evaluate/windows.ts';
import { HeadRunner } from '../../compressor/forward/head-runner.ts';
import { gate, gateSlope } from '../../compressor/gates/gate.ts';
import { trainGates } from '../../compressor/gates/train-gates.ts';
import { rankers } from '../../compressor/rank/index.ts';
import type { LayerHalf } from '../../compressor/rank/ranker.ts';
import { plannedStudent, unfolded } from '../../compressor/student/planned-student.ts';
import { blockParameters } from '../../compressor/weights/block.ts';
import { randomCheckpoint } from '../fixtures/random-checkpoint.ts';
import { taleText } from '../fixtures/tale-text.ts';
import { textOf } from '../fixtures/texts.ts';

describe('the gate', () => {
  it.each([0.1, 0.01, 0.001])('is the identity at 1 and shut at 0 (epsilon %d)', (epsilon) => {
    expect(gate(1, epsilon)).toBeCloseTo(1, 12);
    expect(gate(0, epsilon)).toBe(0);
    expect(gateSlope(0, epsilon)).toBe(0);
  });

  it('has the slope of its difference quotient', () => {
    for (const alpha of [0.05, 0.2, 0.7, 1.3]) {
      const quotient = (gate(alpha + 1e-6, 0.02) - gate(alpha - 1e-6, 0.02)) / 2e-6;
      expect(gateSlope(alpha, 0.02)).toBeCloseTo(quotient, 5);
    }
  });
});

describe('gates of halves', () => {
  const idle: LayerHalf[] = [
    { layer: 1, half: 'attention' },
    { layer: 2, half: 'mlp' },
  ];

  /** A model in which those halves do next to nothing. */
  function withIdleHalves(): Checkpoint {
    const checkpoint = randomCheckpoint();
    const roles = ['layers.1.attention.output', 'layers.2.mlp.down'];
    const quiet = (tensor: CheckpointTensor): CheckpointTensor => ({
      ...tensor,
      read: async (...args) => (await tensor.read(...args)).map((value) => value / 1000),
    });
    const tensor: Checkpoint['tensor'] = (role) =>
      roles.includes(role) ? quiet(checkpoint.tensor(role)) : checkpoint.tensor(role);
    return { ...checkpoint, tensor };
  }

  /** What the model itself holds likeliest, so that every half it does without costs it something. */
  async function foretold(checkpoint: Checkpoint, windows: Int32Array[]): Promise<TextWindows> {
    using head = new HeadRunner(checkpoint, { threads: 1 });
    const states = await runStudent(unfolded(checkpoint), windows);
    const predictions = await head.predictions(states, windows);
    const targets = predictions.map(({ likeliest }) => likeliest);
    return { windows, targets, tokens: windows.length * windows[0]!.length };
  }

  it('shut those that do nothing, at the size these have', async () => {
    const checkpoint = withIdleHalves();
    const { architecture: a } = checkpoint;
    const share = 0.25; // an attention and an MLP of four layers
    const windows = [1, 2, 3, 4].map((seed) =>
      Int32Array.from({ length: 24 }, (_, i) => (i * seed * 7) % 90),
    );
    const text = await foretold(checkpoint, windows);
    const ranking = await rankers['gates-halves']!(checkpoint, text, { share, keep: [0] });
    const { removed, scores } = ranking.halves!;
    expect(removed).toHaveLength(idle.length);
    expect(removed).toEqual(expect.arrayContaining(idle));
    expect(ranking.scores).toEqual(scores.attention.map((score, i) => Math.max(score, scores.mlp[i]!)));

    const steps = ranking.gates!;
    const [first, last] = [steps[0]!, steps.at(-1)!];
    expect(first.gates).toEqual(new Array(2 * a.layers.length).fill(1));
    expect(last.gates.slice(0, 2)).toEqual([1, 1]); // of the layer that is kept
    // The size counts parameters, not gates.
    const attention = blockParameters(a, 'attention') / blockParameters(a);
    const costs = last.gates.map((_, i) => (i % 2 === 0 ? attention : 1 - attention) / a.layers.length);
    expect(last.size).toBeCloseTo(
      last.gates.reduce((sum, g, i) => sum + g * costs[i]!, 0),
      3,
    );
    expect(Math.abs(last.size - (1 - share))).toBeLessThan(0.05);
  });

  it('are, shut or open, what layers without those halves are', async () => {
    // One step moves nothing before its loss is measured: all gates are open, the model is whole.
    const checkpoint = withIdleHalves();
    const text = textOf([Array.from({ length: 20 }, (_, i) => (i * 13) % 90)]);
    const { nll } = await evaluateStudent(unfolded(checkpoint), text);
    const { history } = await trainGates(checkpoint, text, { remove: 0.25, steps: 1, gated: 'halves' });
    expect(history[0]!.loss).toBeCloseTo(nll, 4);
  });
});

describe('gates of the bundled model', () => {
  it('close towards the size asked for, and leave layers the model can spare together', async () => {
    const { checkpoint, text } = await taleText(48);
    const depth = checkpoint.architecture.layers.length;
    const { alphas, gates, history } = await trainGates(checkpoint, text, { remove: 0.25, steps: 30 });
    // Driven to 9 of 12 layers.
    expect(history[0]!.size).toBeCloseTo(1, 6);
    expect(history.at(-1)!.size).toBeGreaterThan(0.65);
    expect(history.at(-1)!.size).toBeLessThan(0.88);
    // Polarized: hardly any gate is half open.
    expect(gates.filter((g) => g > 0.2 && g < 0.8).length).toBeLessThanOrEqual(2);

    const order = [...alphas.keys()].sort((a, b) => alphas[a]! - alphas[b]!);
    const without = (removed: number[]) => {
      const kept = [...Array(depth).keys()].filter((layer) => !removed.includes(layer));
      const layers = kept.map((source, block) => ({ source, block }));
      return evaluateStudent(plannedStudent(checkpoint, { layers, weights: 'first' }), text);
    };
    const chosen = (await without(order.slice(0, 3))).nll;
    // Better than most choices of three layers, of which these are some.
    const others: number[] = [];
    for (const removed of [
      [1, 5, 9],
      [3, 6, 10],
      [5, 6, 7],
      [9, 10, 11],
    ])
      others.push((await without(removed)).nll);
    expect(others.filter((nll) => nll < chosen).length).toBeLessThanOrEqual(1);
    await checkpoint.close();
  }, 180_000);
});
