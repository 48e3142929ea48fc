import { describe, expect, it } from 'vitest';
import { type Half, halves } from '../../artifact/manifest.ts';
import type { Checkpoint, LayerRole } from '../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { savedShare } from '../../compressor/compare/budget.ts';
import { methodPlan, wholePlan } from '../../compressor/compare/method-plan.ts';
import { evaluateStudent } from '../../compressor/evaluate/student.ts';
import type { TextWindows } from '../../compressor/evaluate/windows.ts';
import { methods } from '../../compressor/methods/index.ts';
import { makePlan } from '../../compressor/plan/make-plan.ts';
import type { FoldPlan, PlannedLayer } from '../../compressor/plan/plan.ts';
import { sizedModel, storedBytes } from '../../compressor/plan/served-bytes.ts';
import { rankers } from '../../compressor/rank/index.ts';
import type { LayerHalf } from '../../compressor/rank/ranker.ts';
import { plannedStudent } from '../../compressor/student/planned-student.ts';
import { foldgate } from '../fixtures/command-line.ts';
import { golden, picoPath } from '../fixtures/pico.ts';
import { randomCheckpoint } from '../fixtures/random-checkpoint.ts';
import { textOf } from '../fixtures/texts.ts';

const options = { share: 1, weights: 'first' as const, quantize: 'none', keep: [] };

/** The layers of a plan, written out by hand. */
function layersWithout(depth: number, removed: readonly LayerHalf[]): PlannedLayer[] {
  const layers: PlannedLayer[] = [];
  for (let source = 0; source < depth; source++) {
    const gone = removed.filter(({ layer }) => layer === source).map(({ half }) => half);
    if (gone.length === 2) continue;
    const half: Half | undefined = gone.length === 0 ? undefined : gone[0] === 'mlp' ? 'attention' : 'mlp';
    layers.push({ source, block: layers.length, ...(half && { half }) });
  }
  return layers;
}

function numbersOf(checkpoint: Checkpoint, roles: LayerRole[]): number {
  return roles.reduce((sum, role) => {
    return sum + checkpoint.tensor(`layers.0.${role}`).shape.reduce((a, b) => a * b, 1);
  }, 0);
}

/** Greedy removal, every model written out and evaluated by itself. */
async function bruteForce(checkpoint: Checkpoint, text: TextWindows, keep: number[], share: number) {
  const depth = checkpoint.architecture.layers.length;
  const { qkvBias } = checkpoint.architecture;
  const biases: LayerRole[] = ['attention.q.bias', 'attention.k.bias', 'attention.v.bias'];
  const sizes: Record<Half, number> = {
    attention: numbersOf(checkpoint, [
      ...(['attention.q', 'attention.k', 'attention.v', 'attention.output'] as const),
      ...(qkvBias ? biases : []),
    ]),
    mlp: numbersOf(checkpoint, ['mlp.gate', 'mlp.up', 'mlp.down']),
  };
  const loss = async (removed: LayerHalf[]) =>
    (
      await evaluateStudent(
        plannedStudent(checkpoint, { layers: layersWithout(depth, removed), weights: 'first' }),
        text,
      )
    ).nll;
  const whole = await loss([]);
  let left = share * depth * (sizes.attention + sizes.mlp);
  const removed: LayerHalf[] = [];
  const rises: number[] = [];
  for (;;) {
    let best: { one: LayerHalf; rise: number } | undefined;
    for (let layer = 0; layer < depth; layer++) {
      for (const half of halves) {
        const isGone = removed.some((one) => one.layer === layer && one.half === half);
        if (keep.includes(layer) || isGone || Math.abs(left - sizes[half]) >= left) continue;
        const rise = (await loss([...removed, { layer, half }])) - whole;
        if (!best || rise < best.rise) best = { one: { layer, half }, rise };
      }
    }
    if (!best) return { removed, rises, left, sizes };
    removed.push(best.one);
    rises.push(best.rise);
    left -= sizes[best.one.half];
  }
}

describe.each(['llama', 'qwen2', 'gemma3'] as const)('blockpruner on %s', (family) => {
  it('removes the half that costs least, each time measured on what is left', async () => {
    const checkpoint = await openCheckpoint(picoPath(family));
    const { tokens } = await golden(family);
    const text = textOf([tokens, tokens.slice(5, 18)]);
    const wanted = await bruteForce(checkpoint, text, [0], 0.45);
    expect(wanted.removed.length).toBeGreaterThan(1);
    const ranking = await rankers.blockpruner!(checkpoint, text, { share: 0.45, keep: [0] });
    expect(ranking.halves!.removed).toEqual(wanted.removed);
    const { scores } = ranking.halves!;
    for (const [i, { layer, half }] of wanted.removed.entries())
      expect(scores[half][layer]).toBeCloseTo(wanted.rises[i]!, 5);
    expect(ranking.scores).toEqual(scores.attention.map((score, i) => Math.max(score, scores.mlp[i]!)));

    const depth = checkpoint.architecture.layers.length;
    const plan = makePlan(
      { name: checkpoint.name, layers: depth },
      { method: 'blockpruner', ...ranking },
      { ...options, remove: 0.45 },
    );
    expect(plan.layers).toEqual(layersWithout(depth, wanted.removed));
    expect(plan.halfScores).toEqual(scores);
    const { attention, mlp } = wanted.sizes;
    const missed = Math.abs(savedShare(checkpoint.architecture, plan) - 0.45) * depth * (attention + mlp);
    expect(missed).toBeCloseTo(Math.abs(wanted.left), 3);
    await checkpoint.close();
  });
});

describe('a share of halves', () => {
  const checkpoint = randomCheckpoint();
  const text = textOf([[5, 3, 8, 1, 7, 2, 9, 4]]);

  it('is met as nearly as halves allow, by a budget of a comparison too', async () => {
    const { architecture: a } = checkpoint;
    const attention = (2 * a.heads + 2 * a.kvHeads) * a.headSize * a.width;
    const smallest = attention / (attention + 3 * a.width * a.intermediateSize) / a.layers.length;
    for (const budget of [0.2, 0.3, 0.45]) {
      const plan = await methodPlan(checkpoint, methods.blockpruner!, budget, 'none', text, {});
      expect(Math.abs(savedShare(a, plan) - budget), String(budget)).toBeLessThanOrEqual(smallest / 2 + 1e-9);
      // The first and the last layer are whole.
      expect(plan.layers[0]).toEqual({ source: 0, block: 0 });
      expect(plan.layers.at(-1)).toMatchObject({ source: 3 });
      expect(plan.layers.at(-1)!.half).toBeUndefined();
    }
  });

  it('ends where a size is reached, and never without any attention', async () => {
    const asked: number[] = [];
    const until = (removed: readonly LayerHalf[]) => asked.push(removed.length) > 3;
    const { halves: found } = await rankers.blockpruner!(checkpoint, text, { until });
    expect(asked).toEqual([0, 1, 2, 3]);
    expect(found!.removed).toHaveLength(3);
    const all = await rankers.blockpruner!(checkpoint, text, { until: () => false });
    expect(all.halves!.removed).toHaveLength(7);
    expect(all.halves!.removed.filter(({ half }) => half === 'attention')).toHaveLength(3);
  });

  it('gives neighbours that run the same halves one block', () => {
    const ranked = (removed: LayerHalf[]) => {
      const scores = [1, 1, 1, 1];
      return { method: 'x', scores, halves: { scores: { attention: scores, mlp: scores }, removed } };
    };
    const plan = makePlan(
      { name: 'four', layers: 4 },
      ranked([
        { layer: 1, half: 'mlp' },
        { layer: 2, half: 'mlp' },
      ]),
      { ...options, share: 2, remove: 0.3 },
    );
    expect(plan.layers.map(({ block }) => block)).toEqual([0, 1, 1, 2]);
    for (const wrong of [
      { refill: 'tied' as const },
      { patch: 'block' as const },
      { adapter: { gains: true, rank: 0 } },
    ])
      expect(() =>
        makePlan({ name: 'four', layers: 4 }, ranked([]), { ...options, remove: 0.3, ...wrong }),
      ).toThrow(/removes halves of layers, and --(refill tied|patch block|adapter) are for whole ones/);
  });
});

describe('foldgate plan --rank blockpruner', () => {
  const path = picoPath('llama');
  const plan = (...args: string[]) =>
    foldgate('plan', path, '--method', 'blockpruner', '--keep', '0', ...args);

  it('shows what becomes of halves', async () => {
    const { code, stdout, stderr } = await plan('--remove', '0.3');
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/layer +attention +mlp +becomes/);
    expect(stdout).toMatch(/block \d, its (attention|MLP) alone/);
  });

  it('stays below a size by less than a half takes', async () => {
    const checkpoint = await openCheckpoint(path);
    const files = Object.values(await checkpoint.tokenizerFiles());
    const tokenizer = files.reduce((sum, { length }) => sum + length, 0);
    const bytesOf = (made: FoldPlan) => storedBytes(sizedModel(checkpoint, made, tokenizer));
    const whole = bytesOf(wholePlan(checkpoint, 'none'));
    const { width, intermediateSize } = checkpoint.architecture;
    const mlp = 4 * 3 * width * intermediateSize;
    for (const saved of [0.2 * mlp, 1.4 * mlp]) {
      const limit = Math.floor(whole - saved);
      const { code, stdout, stderr } = await plan(
        '--quantize',
        'none',
        '--target-size',
        `${limit}`,
        '--json',
      );
      expect(code, stderr).toBe(0);
      expect(bytesOf(JSON.parse(stdout))).toBeLessThanOrEqual(limit);
      expect(bytesOf(JSON.parse(stdout))).toBeGreaterThan(limit - 1.1 * mlp);
    }
    await checkpoint.close();
  });
});
