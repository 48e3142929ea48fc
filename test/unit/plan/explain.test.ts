import { describe, expect, it } from 'vitest';
import { explanation } from '../../../cli/explanation.ts';
import { explainPlan } from '../../../compressor/plan/explain.ts';
import { makePlan, type PlanOptions } from '../../../compressor/plan/make-plan.ts';

const scores = [0.5, 3, 0.1, 0.3, 2, 9];

function plan(options: Partial<PlanOptions>) {
  const defaults = { remove: 0.34, share: 1, weights: 'first' as const, quantize: 'int4', keep: [0, -1] };
  return makePlan({ name: 'six', layers: 6 }, { method: 'loss', scores }, { ...defaults, ...options });
}

describe('why a plan does what it does', () => {
  it('is told of every layer', () => {
    const reasons = explainPlan(plan({ patch: 'linear' }));
    expect(reasons.map(({ fate }) => fate)).toEqual(['own', 'own', 'removed', 'removed', 'own', 'own']);
    expect(reasons.map(({ rank }) => rank)).toEqual([3, 5, 1, 2, 4, 6]);
    expect(reasons.map(({ patched }) => patched)).toEqual([false, true, false, false, false, false]);
    const fitted = explainPlan(plan({ patch: 'block' })).filter((reason) => reason.fitted);
    expect(fitted.map(({ layer }) => layer)).toEqual([1]);
    expect(reasons.some(({ spared, fitted }) => spared || fitted)).toBe(false);
    const spared = explainPlan(plan({ keep: [2] })).filter((reason) => reason.spared);
    expect(spared.map(({ layer }) => layer)).toEqual([2]);
  });

  it('names whose block a layer runs, and what it has of its own', () => {
    const shared = explainPlan(plan({ remove: 0, share: 2, adapter: { gains: false, rank: 2 } }));
    expect(shared[1]).toMatchObject({ fate: 'shared', block: 0, weightsOf: [0], adapted: true });
    expect(shared[0]).toMatchObject({ fate: 'own', block: 0, weightsOf: [0], adapted: false });
    const mixed = explainPlan(plan({ remove: 0, share: 2, weights: 'mean' }));
    expect(mixed[0]).toMatchObject({ fate: 'shared', weightsOf: [0, 1], adapted: false });
    const back = explainPlan(plan({ refill: 'previous' }));
    expect(back[2]).toMatchObject({ fate: 'refilled', block: 1, weightsOf: [1], adapted: true });
  });

  it('names the half that a layer runs alone', () => {
    const whole = plan({ remove: 0 });
    const layers = whole.layers.map((layer, i) => (i === 2 ? { ...layer, half: 'mlp' as const } : layer));
    const halved = { ...whole, layers };
    expect(explainPlan(halved).map(({ half }) => half)).toEqual([
      ...[undefined, undefined, 'mlp', undefined, undefined, undefined],
    ]);
    expect(explanation(halved)).toMatch(
      /2 .* ▄ {2}keeps its own weights, block 2, of which it runs the MLP alone: /,
    );
  });

  it('tells how wide blocks are, where the plan does', () => {
    const narrow = { ...plan({ remove: 0, share: 2 }), widths: [64, 96, 32] };
    expect(explainPlan(narrow).map(({ width }) => width)).toEqual([64, 64, 96, 96, 32, 32]);
    expect(explanation(narrow)).toContain('keeps its own weights, block 0, its MLP 64 wide');
    expect(explanation(narrow)).toContain('runs block 2, the weights of layer 4, its MLP 32 wide');
  });

  it('reads as sentences beside bars', () => {
    const text = explanation(plan({ patch: 'linear' }));
    expect(text).toContain('six: 4 of 6 layers are kept, running 4 distinct blocks.');
    expect(text).toContain(
      '2 ██·········· ✕  is removed: the loss rises by 0.100 nats a token without it, place 1 of 6 from the least.',
    );
    expect(text).toMatch(/1 ██████████·· ■~ keeps its own weights, block 1: .*; a linear patch stands in/);
    expect(explanation(plan({ patch: 'block' }))).toMatch(
      /1 █.* ■\+ is trained, from its own weights, to do what it and the layers after it did, block 1: /,
    );
    expect(text).toMatch(/5 ████████████ ■ /);
    const { scores: _, ...unranked } = plan({ remove: 0, share: 3 });
    expect(explanation(unranked)).toMatch(
      /No ranking chose them[\s\S]*1 □ {2}runs block 0, the weights of layer 0\./,
    );
  });
});
