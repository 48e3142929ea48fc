import { describe, expect, it } from 'vitest';
import { evaluateStudent } from '../../compressor/evaluate/student.ts';
import { gate, gateSlope } from '../../compressor/gates/gate.ts';
import { trainGates } from '../../compressor/gates/train-gates.ts';
import { plannedStudent } from '../../compressor/student/planned-student.ts';
import { taleText } from '../fixtures/tale-text.ts';

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
