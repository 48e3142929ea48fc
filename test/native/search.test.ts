import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { adaptStudent } from '../../compressor/adapter/adapt-student.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { distinctBlockParameters, savedShare } from '../../compressor/compare/budget.ts';
import { methodPlan } from '../../compressor/compare/method-plan.ts';
import { evaluateStudent, runStudent } from '../../compressor/evaluate/student.ts';
import { methods } from '../../compressor/methods/index.ts';
import { fitPatches, withPatches } from '../../compressor/patch/patch-student.ts';
import { checkPlan, type FoldPlan } from '../../compressor/plan/plan.ts';
import { sizedModel, storedBytes } from '../../compressor/plan/served-bytes.ts';
import { measureReplacements } from '../../compressor/search/measure-replacements.ts';
import { type Replacement, replacementsOf } from '../../compressor/search/replacements.ts';
import { searchPlan } from '../../compressor/search/search-plan.ts';
import { plannedStudent, unfolded } from '../../compressor/student/planned-student.ts';
import { foldgate } from '../fixtures/command-line.ts';
import { picoPath } from '../fixtures/pico.ts';
import { picoArchitecture, randomCheckpoint } from '../fixtures/random-checkpoint.ts';
import { taleText } from '../fixtures/tale-text.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import { textOf } from '../fixtures/texts.ts';

const deep = randomCheckpoint({
  ...picoArchitecture,
  layers: Array.from({ length: 6 }, () => ({ window: undefined, rotary: 0 })),
});
const random = textOf(
  Array.from({ length: 4 }, (_, w) => Array.from({ length: 24 }, (_, i) => (i * 37 + w * w * 11) % 96)),
);
const options = {
  ...{ share: 1, weights: 'first' as const, quantize: 'none', patch: 'linear' as const, keep: [0, -1] },
  adapter: { gains: false, rank: 3 },
};

/** The model up to the replacement's end, of which the replacement alone is folded. */
function planOf(depth: number, { from, to, ...rest }: Replacement, patch: 'none' | 'linear'): FoldPlan {
  const before = Array.from({ length: from }, (_, source) => ({ source, block: source }));
  const shared = rest.fate === 'shared' ? [{ source: from, block: rest.owner }] : [];
  return {
    ...{
      version: 1,
      checkpoint: 'x',
      checkpointLayers: depth,
      method: 'x',
      weights: 'first',
      quantize: 'none',
    },
    ...{ layers: [...before, ...shared], patch },
    ...(rest.fate === 'shared' && rest.rank > 0 && { adapter: { gains: false, rank: rest.rank } }),
  };
}

describe('what may replace a layer', () => {
  it('is measured by itself, given the states of the checkpoint', async () => {
    const { width } = deep.architecture;
    for (const patched of [false, true]) {
      const ranks = patched ? [] : [0, 3]; // once is enough
      const request = {
        ...{ removable: new Set([1, 2, 3, 4]), longest: 2, patched, reach: 2, ranks },
        ...{ fitted: 3, held: 3, cost: 'error' as const },
      };
      const measured = await measureReplacements(deep, random, request);
      expect(measured.map(({ cost, ...one }) => one)).toEqual(replacementsOf(6, request));
      expect(measured).toHaveLength(7 + ranks.length * (1 + 2 + 2 + 2));
      const held = random.windows.slice(3);
      for (const one of measured) {
        const plan = planOf(6, one, patched ? 'linear' : 'none');
        // What is fitted is fitted to the state before the next kept layer: that of the run's end.
        const upTo = { ...plan, layers: [...plan.layers, { source: one.to, block: one.from }] };
        const student = await adaptStudent(deep, plannedStudent(deep, plan), plan);
        const patches = patched
          ? await fitPatches(deep, plannedStudent(deep, upTo), random.windows.slice(0, 3))
          : new Map();
        const states = await runStudent(withPatches(student, patches), held);
        const whole = plannedStudent(deep, {
          layers: Array.from({ length: one.to }, (_, i) => ({ source: i, block: i })),
          weights: 'first',
        });
        const targets = await runStudent(whole, held);
        const errors = targets.flatMap((target, w) =>
          Array.from({ length: target.length / width }, (_, t) => {
            const row = (all: Float32Array) => [...all.subarray(t * width, (t + 1) * width)];
            const distance = Math.hypot(...row(states[w]!).map((value, i) => value - row(target)[i]!));
            return (distance / Math.hypot(...row(target))) ** 2;
          }),
        );
        const mean = errors.reduce((sum, value) => sum + value, 0) / errors.length;
        expect(one.cost / mean, JSON.stringify(one)).toBeCloseTo(1, 3);
      }
    }
  });

  it('is measured by the loss with it alone, if asked', async () => {
    const request = {
      ...{ removable: new Set([1, 2, 4]), longest: 2, patched: true, reach: 1, ranks: [0, 3] },
      ...{ fitted: 3, held: 3, cost: 'loss' as const },
    };
    const held = textOf(random.windows.slice(3).map((window) => [...window]));
    const whole = await evaluateStudent(unfolded(deep), held);
    for (const one of await measureReplacements(deep, random, request)) {
      const upTo = planOf(6, one, 'linear');
      const blocks = new Set(upTo.layers.map(({ block }) => block)).size;
      const rest = Array.from({ length: 6 - one.to }, (_, i) => ({ source: one.to + i, block: blocks + i }));
      const plan = { ...upTo, layers: [...upTo.layers, ...rest] };
      const adapted = await adaptStudent(deep, plannedStudent(deep, plan), plan);
      const patches =
        one.fate === 'removed' ? await fitPatches(deep, adapted, random.windows.slice(0, 3)) : new Map();
      const { nll } = await evaluateStudent(withPatches(adapted, patches), held);
      expect(one.cost, JSON.stringify(one)).toBeCloseTo(nll - whole.nll, 4);
    }
  });

  it('can be stopped, and counts its steps', async () => {
    const request = {
      ...{
        removable: new Set([1, 2]),
        longest: 2,
        patched: true,
        reach: 1,
        ranks: [0],
        fitted: 3,
        held: 3,
        cost: 'error' as const,
      },
    };
    const steps: [number, number][] = [];
    await measureReplacements(deep, random, {
      ...request,
      onProgress: (done, total) => steps.push([done, total]),
    });
    expect(steps).toEqual([1, 2, 3, 4, 5].map((step) => [step, 5]));
    const controller = new AbortController();
    const how = { ...request, signal: controller.signal, onProgress: () => controller.abort() };
    await expect(measureReplacements(deep, random, how)).rejects.toThrow(/abort/i);
  });
});

describe('a plan that is searched for', () => {
  const sizeOf = (plan: FoldPlan) => distinctBlockParameters(deep.architecture, plan);
  const block = sizeOf({ layers: [{ source: 0, block: 0 }] } as FoldPlan);
  const within = (blocks: number) => ({ of: sizeOf, limit: blocks * block, inWords: String });
  /** The loss on the held-out quarter. */
  const lossOf = async (plan: FoldPlan) => {
    const adapted = await adaptStudent(deep, plannedStudent(deep, plan), plan);
    const patches = await fitPatches(deep, adapted, random.windows.slice(0, 3));
    const held = textOf(random.windows.slice(3).map((window) => [...window]));
    return (await evaluateStudent(withPatches(adapted, patches), held)).nll;
  };

  it('fits the size, uses what the options allow, and is a plan like any other', async () => {
    for (const blocks of [2.7, 4.2]) {
      const steps: string[] = [];
      const onProgress = (step: string, done: number, total: number) => done === total && steps.push(step);
      const plan = await searchPlan(deep, random, { size: within(blocks), options, onProgress });
      expect(sizeOf(plan)).toBeLessThanOrEqual(blocks * block);
      expect(
        checkPlan(
          JSON.parse(JSON.stringify(plan)),
          { name: 'random', layers: 6, intermediateSize: 96 },
          'plan',
        ),
      ).toEqual(plan);
      expect(plan).toMatchObject({
        method: 'search',
        checkpointLayers: 6,
        patch: 'linear',
        quantize: 'none',
      });
      expect(plan.layers[0]).toEqual({ source: 0, block: 0 });
      expect(plan.layers.at(-1)!.source).toBe(5);
      expect(plan.scores).toHaveLength(6);
      expect(steps).toEqual(['Measuring what may replace each layer', 'Measuring the best together']);
    }
  });

  it('is, of all there are, the one of least loss where all of them come into the last round', async () => {
    // Of four layers the middle ones may go: nine combinations at most in this size.
    const four = randomCheckpoint();
    const small = { share: 1, weights: 'first' as const, quantize: 'none', keep: [0, -1] };
    const size = { of: (plan: FoldPlan) => new Set(plan.layers.map(({ block }) => block)).size, limit: 3 };
    const chosen = await searchPlan(four, random, { size: { ...size, inWords: String }, options: small });
    const held = textOf(random.windows.slice(3).map((window) => [...window]));
    const losses = new Map<string, number>();
    for (const one of ['kept', 'removed', 'shared']) {
      for (const two of ['kept', 'removed', 'shared']) {
        if (one === 'kept' && two === 'kept') continue;
        let block = 0;
        const layers = ['kept', one, two, 'kept'].flatMap((fate, source) => {
          if (fate === 'removed') return [];
          if (fate === 'kept' && source > 0) block++;
          return [{ source, block }];
        });
        const student = plannedStudent(four, { layers, weights: 'first' });
        losses.set(JSON.stringify(layers), (await evaluateStudent(student, held)).nll);
      }
    }
    expect(losses.size).toBe(8);
    expect(losses.get(JSON.stringify(chosen.layers))).toBe(Math.min(...losses.values()));
  });

  it('says so where nothing is small enough, and what it cannot do', async () => {
    const search = (changed: object, blocks = 3) =>
      searchPlan(deep, random, { size: within(blocks), options: { ...options, ...changed } });
    await expect(search({}, 1.5)).rejects.toThrow(/No fold of random that the search may make comes to/);
    await expect(search({ share: 2, patch: 'block' })).rejects.toThrow(/--share and --patch block cannot/);
    await expect(search({ refill: 'previous' })).rejects.toThrow(/--refill/);
    await expect(search({ keep: [6] })).rejects.toThrow(/--keep names layer 6/);
  });

  it('costs less than others of its size where they are measured: the least of the last round', async () => {
    const plan = await searchPlan(deep, random, {
      size: within(4.2),
      options: { ...options, adapter: { gains: false, rank: 0 } },
    });
    const removedOne = (layer: number): FoldPlan => ({
      ...plan,
      layers: [0, 1, 2, 3, 4, 5]
        .filter((source) => source !== layer && source !== layer + 1)
        .map((source, block) => ({ source, block })),
    });
    const runs = await Promise.all([1, 2, 3].map((layer) => lossOf(removedOne(layer))));
    expect(await lossOf(plan)).toBeLessThanOrEqual(Math.min(...runs) + 1e-6);
  });
});

describe('the method', () => {
  it('lands at the budget of a comparison', async () => {
    const { checkpoint, text } = await taleText(48);
    const few = { ...text, windows: text.windows.slice(0, 4), targets: text.targets.slice(0, 4) };
    const way = { ...methods.search!, adapter: 'none' };
    const plan = await methodPlan(checkpoint, way, 0.25, 'int8', few, {});
    const { layers } = checkpoint.architecture;
    expect(Math.abs(savedShare(checkpoint.architecture, plan) - 0.25)).toBeLessThan(0.5 / layers.length);
    await checkpoint.close();
    await expect(methodPlan(deep, methods.search!, 0.9, 'int8', random, {})).rejects.toThrow(/only 4 may go/);
  });
});

describe('foldgate plan --rank search', () => {
  const pico = picoPath('llama');
  const sized = async (plan: FoldPlan) => {
    const checkpoint = await openCheckpoint(pico);
    const files = Object.values(await checkpoint.tokenizerFiles());
    const bytes = storedBytes(
      sizedModel(
        checkpoint,
        plan,
        files.reduce((sum, { length }) => sum + length, 0),
      ),
    );
    await checkpoint.close();
    return bytes;
  };
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await foldgate('plan', pico, '--rank', 'search', ...args, '--json');
    expect(code, stderr).toBe(0);
    return { plan: JSON.parse(stdout) as FoldPlan, stderr };
  };

  it('finds a plan in the bytes of a fold without so many layers', async () => {
    const { plan, stderr } = await run('--remove', '0.34', '--search-cost', 'loss');
    const removed = await foldgate('plan', pico, '--rank', 'reverse', '--remove', '0.34', '--json');
    expect(await sized(plan)).toBeLessThanOrEqual(await sized(JSON.parse(removed.stdout)));
    expect(stderr).toContain('Measuring the best together');
    const target = Math.floor((await sized(plan)) * 1.02);
    const other = await run('--target-size', String(target), '--quantize', 'int4');
    expect(await sized(other.plan)).toBeLessThanOrEqual(target);
  });

  it('folds by what it finds', async () => {
    const folder = await temporaryFolder();
    const out = `file:${join(folder, 'models')}/found`;
    const args = ['--method', 'search', '--adapter', 'lora:1', '--remove', '0.34', '--out', out, '--json'];
    const { code, stdout, stderr } = await foldgate('fold', pico, ...args);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout).quality.at(-1).perplexity).toBeGreaterThan(1);
  });

  it('needs a size, and no sweep', async () => {
    const none = await foldgate('plan', pico, '--rank', 'search');
    expect(none).toMatchObject({ code: 2 });
    expect(none.stderr).toContain('give --remove, --target-size or --fit');
    const sweep = await foldgate('plan', pico, '--rank', 'search', '--sweep', '--measure');
    expect(sweep).toMatchObject({ code: 2 });
    expect(sweep.stderr).toContain('which --rank search would decide');
  });
});
