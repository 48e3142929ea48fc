import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { evaluateStudent, runStudent } from '../../compressor/evaluate/student.ts';
import { embed } from '../../compressor/forward/embed.ts';
import { fitPatches, withPatches } from '../../compressor/patch/patch-student.ts';
import { clusterNeighbours } from '../../compressor/rank/clusters.ts';
import { rankers } from '../../compressor/rank/index.ts';
import { cheapestRuns, type Run } from '../../compressor/rank/runs.ts';
import { type LayerPlan, plannedStudent, unfolded } from '../../compressor/student/planned-student.ts';
import { golden, picoFamilies, picoPath } from '../fixtures/pico.ts';
import { picoArchitecture, randomCheckpoint } from '../fixtures/random-checkpoint.ts';
import { taleText } from '../fixtures/tale-text.ts';
import { textOf } from '../fixtures/texts.ts';

const plan = (sources: number[]): LayerPlan => ({
  layers: sources.map((source, block) => ({ source, block })),
  weights: 'first',
});

describe.each(picoFamilies)('ranking the layers of %s', (family) => {
  const open = async () => {
    const { tokens } = await golden(family);
    const text = textOf([tokens, tokens.slice(5, 18), tokens.slice(0, 2)]);
    return { checkpoint: await openCheckpoint(picoPath(family)), text };
  };

  it('by influence gives 1 - the mean cosine of what goes in and what comes out', async () => {
    const { checkpoint, text } = await open();
    const { width, layers } = checkpoint.architecture;
    const { scores } = await rankers.influence!(checkpoint, text);
    let before = await embed(checkpoint, text.windows);
    for (const layer of layers.keys()) {
      const after = await runStudent(
        plannedStudent(checkpoint, plan([...layers.keys()].slice(0, layer + 1))),
        text.windows,
      );
      const cosines = before.flatMap((state, i) =>
        Array.from({ length: state.length / width }, (_, t) => {
          const [x, y] = [state, after[i]!].map((all) => [...all.subarray(t * width, (t + 1) * width)]);
          const dot = (a: number[], b: number[]) => a.reduce((sum, value, k) => sum + value * b[k]!, 0);
          return dot(x!, y!) / Math.sqrt(dot(x!, x!)) / Math.sqrt(dot(y!, y!));
        }),
      );
      const mean = cosines.reduce((sum, value) => sum + value, 0) / cosines.length;
      expect(cosines).toHaveLength(40 + 13 + 2);
      expect(scores[layer]).toBeCloseTo(1 - mean, 6);
      before = after;
    }
    expect(scores).toHaveLength(layers.length);
    await checkpoint.close();
  });

  it('by loss gives the rise of the loss without each', async () => {
    const { checkpoint, text } = await open();
    const layers = [...checkpoint.architecture.layers.keys()];
    const { scores } = await rankers.loss!(checkpoint, text);
    const whole = await evaluateStudent(unfolded(checkpoint), text);
    for (const left of layers) {
      const without = await evaluateStudent(
        plannedStudent(checkpoint, plan(layers.filter((layer) => layer !== left))),
        text,
      );
      expect(scores[left]).toBeCloseTo(without.nll - whole.nll, 6);
    }
    expect(scores).toHaveLength(layers.length);
    await checkpoint.close();
  });
});

/** Those that read no weights have nothing to stop. */
const measuring = Object.entries(rankers).filter(
  ([name]) => !['reverse', 'late-middle', 'uniform'].includes(name),
);

it.each(measuring)('ranking by %s stops at a signal and counts its steps', async (_name, rank) => {
  const checkpoint = await openCheckpoint(picoPath('llama'));
  const text = textOf([[1, 2, 3, 4]]);
  const steps: [number, number][] = [];
  await rank(checkpoint, text, { onProgress: (done, total) => steps.push([done, total]) });
  const total = steps.at(-1)![1];
  expect(steps).toEqual(Array.from({ length: total }, (_, i) => [i + 1, total]));

  const controller = new AbortController();
  const how = { signal: controller.signal, onProgress: () => controller.abort() };
  await expect(rank(checkpoint, text, how)).rejects.toThrow(/abort/i);
  await checkpoint.close();
});

describe('the choice of layers to remove', () => {
  const lowest = (scores: number[], count: number) =>
    [...scores.keys()]
      .sort((a, b) => scores[a]! - scores[b]!)
      .slice(0, count)
      .sort((a, b) => a - b);

  it('by reverse takes the deepest', async () => {
    const { scores } = await rankers.reverse!(randomCheckpoint(), textOf([[1, 2]]));
    expect(lowest(scores, 2)).toEqual([2, 3]);
  });

  it('by uniform keeps equal distances, and what is to stay', async () => {
    const { scores } = await rankers.uniform!(randomCheckpoint(), textOf([[1, 2]]), { remove: 2, keep: [0] });
    expect(lowest(scores, 2)).toEqual([1, 3]);
  });

  it('by late-middle takes one run that ends before the last quarter', async () => {
    const twelve = randomCheckpoint({
      ...picoArchitecture,
      layers: Array.from({ length: 12 }, () => ({ window: undefined, rotary: 0 })),
    });
    const gone = async (remove: number) => {
      const request = { remove, keep: [0, 11] };
      return lowest((await rankers['late-middle']!(twelve, textOf([[1, 2]]), request)).scores, remove);
    };
    expect(await gone(3)).toEqual([6, 7, 8]);
    expect(await gone(10)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it('by angular takes the run whose ends are nearest, of all there are', async () => {
    const { checkpoint, text } = await taleText(48);
    const few = { ...text, windows: text.windows.slice(0, 6), targets: text.targets.slice(0, 6) };
    const { width, layers } = checkpoint.architecture;
    const states = [await embed(checkpoint, few.windows)];
    for (const layer of layers.keys()) {
      const before = [...layers.keys()].slice(0, layer + 1);
      states.push(await runStudent(plannedStudent(checkpoint, plan(before)), few.windows));
    }
    /** By the law of cosines, from lengths and distance. */
    const angle = (from: number, to: number) => {
      let [sum, count] = [0, 0];
      for (const [w, window] of states[from]!.entries()) {
        for (let start = 0; start < window.length; start += width) {
          const [x, y] = [window, states[to]![w]!].map((all) => [...all.subarray(start, start + width)]);
          const [a, b] = [Math.hypot(...x!), Math.hypot(...y!)];
          const c = Math.hypot(...x!.map((value, i) => value - y![i]!));
          sum += Math.acos((a * a + b * b - c * c) / (2 * a * b)) / Math.PI;
          count++;
        }
      }
      return sum / count;
    };
    const scattered = { remove: 2, keep: layers.map((_, layer) => layer).filter((layer) => layer % 2 === 0) };
    await expect(rankers.angular!(checkpoint, few, scattered)).rejects.toThrow(/No run of 2 neighbouring/);
    for (const remove of [1, 3]) {
      const starts = Array.from({ length: layers.length - 1 - remove }, (_, i) => i + 1);
      const nearest = starts.sort((a, b) => angle(a, a + remove) - angle(b, b + remove))[0]!;
      const { scores } = await rankers.angular!(checkpoint, few, { remove, keep: [0, layers.length - 1] });
      expect(lowest(scores, remove)).toEqual(Array.from({ length: remove }, (_, i) => nearest + i));
      expect(scores[nearest]).toBeCloseTo(angle(nearest, nearest + remove) / remove, 5);
    }
    await checkpoint.close();
  });

  it('by cosine takes the run, the layer before those that go included, that turns the state least', async () => {
    const { checkpoint, text } = await taleText(48);
    const few = { ...text, windows: text.windows.slice(0, 2), targets: text.targets.slice(0, 2) };
    const { width, layers } = checkpoint.architecture;
    const states = [await embed(checkpoint, few.windows)];
    for (const layer of layers.keys()) {
      const before = [...layers.keys()].slice(0, layer + 1);
      states.push(await runStudent(plannedStudent(checkpoint, plan(before)), few.windows));
    }
    /** From unit vectors: 1 - cosine is half their squared distance. */
    const turn = (from: number, to: number) => {
      const unit = (all: number[]) => all.map((value) => value / Math.hypot(...all));
      const turns = states[from]!.flatMap((window, w) =>
        Array.from({ length: window.length / width }, (_, t) => {
          const [x, y] = [window, states[to]![w]!].map((all) =>
            unit([...all.subarray(t * width, (t + 1) * width)]),
          );
          return x!.reduce((sum, value, i) => sum + (value - y![i]!) ** 2, 0) / 2;
        }),
      );
      return turns.reduce((sum, value) => sum + value, 0) / turns.length;
    };
    for (const remove of [1, 3]) {
      // The layer that stays may be one that is to be kept, as the first is; the last may not go.
      const turns = Array.from({ length: layers.length - 1 - remove }, (_, i) => turn(i, i + remove + 1));
      const least = turns.indexOf(Math.min(...turns));
      const { scores } = await rankers.cosine!(checkpoint, few, { remove, keep: [0, layers.length - 1] });
      expect(lowest(scores, remove)).toEqual(Array.from({ length: remove }, (_, i) => least + 1 + i));
      expect(scores[least + 1]).toBeCloseTo(turns[least]! / (remove + 1), 5);
    }
    await checkpoint.close();
  });

  it('by clusters joins neighbours that are most alike, and lets the first of each stay', async () => {
    const alike = [
      [1, 0.9, 0.8, 0.1, 0.1],
      [0.9, 1, 0.7, 0.1, 0.1],
      [0.8, 0.7, 1, 0.5, 0.1],
      [0.1, 0.1, 0.5, 1, 0.6],
      [0.1, 0.1, 0.1, 0.6, 1],
    ];
    const all = [0, 1, 2, 3, 4];
    expect(clusterNeighbours(alike, all, 0)).toEqual([[0], [1], [2], [3], [4]]);
    expect(clusterNeighbours(alike, all, 1)).toEqual([[0, 1], [2], [3], [4]]);
    expect(clusterNeighbours(alike, all, 2)).toEqual([[0, 1, 2], [3], [4]]);
    expect(clusterNeighbours(alike, all, 3)).toEqual([
      [0, 1, 2],
      [3, 4],
    ]);
    // Layer 1 is to stay: it begins a cluster.
    expect(clusterNeighbours(alike, [2, 3, 4], 2)).toEqual([[0], [1, 2], [3, 4]]);
    expect(clusterNeighbours(alike, [3], 4)).toEqual([[0], [1], [2, 3], [4]]);

    const { checkpoint, text } = await taleText(48);
    const few = { ...text, windows: text.windows.slice(0, 4), targets: text.targets.slice(0, 4) };
    const last = checkpoint.architecture.layers.length - 1;
    const { scores } = await rankers.clusters!(checkpoint, few, { remove: 4, keep: [0, last] });
    const gone = lowest(scores, 4);
    expect(gone.every((layer) => layer > 0 && layer < last && scores[layer]! < 1)).toBe(true);
    await checkpoint.close();
  });

  it('by greedy measures again after each removal', async () => {
    const checkpoint = await openCheckpoint(picoPath('llama'));
    const { tokens } = await golden('llama');
    const text = textOf([tokens, tokens.slice(5, 18)]);
    const layers = [...checkpoint.architecture.layers.keys()];
    const nll = async (kept: number[]) =>
      (await evaluateStudent(plannedStudent(checkpoint, plan(kept)), text)).nll;
    let kept = layers;
    const order: number[] = [];
    for (let round = 0; round < 2; round++) {
      const losses = await Promise.all(
        kept.map(async (layer) => [layer, await nll(kept.filter((other) => other !== layer))] as const),
      );
      const [gone] = losses.sort((a, b) => a[1] - b[1])[0]!;
      order.push(gone);
      kept = kept.filter((layer) => layer !== gone);
    }
    const { scores } = await rankers.greedy!(checkpoint, text, { remove: 2 });
    expect(lowest(scores, 2)).toEqual(order.sort((a, b) => a - b));
    await checkpoint.close();
  });

  it('by runs takes the cheapest set of runs, of all there are', () => {
    const layers = 7;
    let state = 11;
    const cost = () => {
      state = (state * 48271) % 2147483647;
      return state / 2147483647;
    };
    const all: Run[] = [];
    for (let from = 0; from < layers; from++)
      for (let to = from + 1; to <= Math.min(layers, from + 3); to++) all.push({ from, to, cost: cost() });
    for (const count of [1, 2, 3, 4]) {
      let best = Number.POSITIVE_INFINITY;
      const search = (left: Run[], size: number, sum: number, end: number): void => {
        if (size === count) best = Math.min(best, sum);
        for (const [i, run] of left.entries()) {
          if (run.from <= end || size + run.to - run.from > count) continue;
          search(left.slice(i + 1), size + run.to - run.from, sum + run.cost, run.to);
        }
      };
      search(all, 0, 0, -1);
      const chosen = cheapestRuns(all, count, layers);
      expect(chosen.reduce((sum, run) => sum + run.to - run.from, 0)).toBe(count);
      expect(chosen.reduce((sum, run) => sum + run.cost, 0)).toBeCloseTo(best, 12);
    }
  });

  it('by runs measures each run with its patch in place', async () => {
    const { checkpoint, text } = await taleText(48);
    const few = { ...text, windows: text.windows.slice(0, 24), targets: text.targets.slice(0, 24) };
    const { scores } = await rankers.runs!(checkpoint, few, {
      remove: 1,
      keep: [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    });
    const kept = [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    const student = plannedStudent(checkpoint, plan(kept));
    const patched = withPatches(student, await fitPatches(checkpoint, student, few.windows.slice(0, 18)));
    const held = { windows: few.windows.slice(18), targets: few.targets.slice(18), tokens: 6 * 47 };
    const rise =
      (await evaluateStudent(patched, held)).nll - (await evaluateStudent(unfolded(checkpoint), held)).nll;
    expect(scores[1]).toBeCloseTo(rise, 4);
    await checkpoint.close();
  });
});
