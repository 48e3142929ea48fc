import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../artifact/errors.ts';
import { bytesOf } from '../../../artifact/manifest.ts';
import { servedMemoryOf } from '../../../artifact/served-memory.ts';
import { usualPool } from '../../../compressor/adapter/adapter.ts';
import type { Architecture } from '../../../compressor/checkpoint/architecture.ts';
import { WorkFolder } from '../../../compressor/export/work-folder.ts';
import type { PlanOptions } from '../../../compressor/plan/make-plan.ts';
import { anyPlan, contextOf, defaultGrid, sweepCells, sweepPoint } from '../../../compressor/plan/sweep.ts';
import { parsePrecision, resolvePrecision } from '../../../compressor/quantize/precision.ts';
import { makeStudent } from '../../../compressor/student/make-student.ts';
import { exportStudent } from '../../fixtures/export-student.ts';
import { readGraph } from '../../fixtures/exported-graph.ts';
import { picoArchitecture, randomCheckpoint } from '../../fixtures/random-checkpoint.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';
import { textOf } from '../../fixtures/texts.ts';

type Options = Omit<PlanOptions, 'remove' | 'share' | 'width' | 'shrink'>;
const options: Options = { weights: 'first', quantize: 'none', keep: [0, -1] };

function deep(layers: number, changed: Partial<Architecture> = {}) {
  const layer = picoArchitecture.layers[0]!;
  return randomCheckpoint({
    ...picoArchitecture,
    layers: Array.from({ length: layers }, () => layer),
    ...changed,
  });
}

describe('the grid of a sweep', () => {
  it('goes from all layers to half of them, alone and in groups', () => {
    expect(defaultGrid(deep(30), [0, -1])).toEqual({ kept: [30, 27, 24, 21, 18, 15], shares: [1, 2, 3] });
    expect(defaultGrid(deep(4), [0, -1])).toEqual({ kept: [4, 3, 2], shares: [1, 2, 3] });
    expect(defaultGrid(deep(4), [0, 1, -1])).toEqual({ kept: [4, 3], shares: [1, 2, 3] });
    expect(defaultGrid(deep(1), [])).toEqual({ kept: [1], shares: [1] });
  });

  it('has each place once, in order', () => {
    const cells = sweepCells(deep(8), { kept: [4, 8, 4], shares: [2, 1] }, options);
    expect(cells.map(({ kept, share }) => [kept, share])).toEqual([
      [8, 1],
      [8, 2],
      [4, 1],
      [4, 2],
    ]);
    for (const cell of cells) {
      const plan = anyPlan(deep(8), cell);
      expect(plan.layers).toHaveLength(cell.kept);
      expect(new Set(plan.layers.map(({ block }) => block)).size).toBe(cell.kept / cell.share);
    }
  });

  it('has each width of each place, the widest first', () => {
    const cells = sweepCells(deep(8), { kept: [8], shares: [2], widths: [0.5, 1, 0.75] }, options);
    expect(cells.map(({ width }) => width)).toEqual([1, 0.75, 0.5]);
    const widths = cells.map((cell) => anyPlan(deep(8), cell).widths);
    expect(widths[0]).toBeUndefined();
    // 96 wide, in steps of 32: what is nearest over the four blocks.
    expect(widths.slice(1).map((all) => all!.reduce((sum, width) => sum + width))).toEqual([288, 192]);
    expect(() => sweepCells(deep(8), { kept: [8], shares: [1], widths: [1.5] }, options)).toThrow(
      "A sweep keeps 0.333 to 1 of the MLPs' width of random, not 1.5.",
    );
  });

  it.each([[[9]], [[1]], [[0]], [[2.5]]])('refuses to keep %j of 8 layers of which two stay', (kept) => {
    expect(() => sweepCells(deep(8), { kept, shares: [1] }, options)).toThrow(UsageError);
    expect(() => sweepCells(deep(8), { kept, shares: [1] }, options)).toThrow(
      `keeps 2 (those of --keep) to 8 layers (all of random), not ${kept[0]}`,
    );
  });
});

const windowed = { window: 10, rotary: 0 };
const folds: [string, Options, Partial<Architecture>][] = [
  ['plain', options, {}],
  ['in int4, with a head of its own', { ...options, quantize: 'int4' }, { tiedHead: false }],
  ['patched', { ...options, patch: 'linear' }, {}],
  ['with matrices from pools', { ...options, adapter: { gains: false, rank: 16, pool: usualPool } }, {}],
  ['with layers that come back', { ...options, refill: 'previous', adapter: { gains: true, rank: 3 } }, {}],
  ['with windows', options, { layers: [windowed, ...picoArchitecture.layers.slice(1)] }],
];

describe.each(folds)('the numbers of a fold %s', (_name, how, changed) => {
  const checkpoint = randomCheckpoint({ ...picoArchitecture, vocabularySize: 600, ...changed });
  const widths = 'adapter' in how ? [1] : [1, 0.6];
  const cells = sweepCells(checkpoint, { kept: [4, 3, 2], shares: [1, 2], widths }, how);

  it.each(cells.map((cell) => [cell.kept, cell.share, cell.width, cell] as const))(
    'are those of what is stored: %i layers, %i a block, %d wide',
    async (_kept, _share, _width, cell) => {
      const plan = anyPlan(checkpoint, cell);
      const work = await WorkFolder.open(await temporaryFolder(), 'sweep');
      const fit = textOf([Array.from({ length: 40 }, (_, i) => i)]);
      const { student } = (await makeStudent({ checkpoint, plan, fit, work })).at(-1)!;
      const { manifest, files } = await exportStudent({
        ...{ checkpoint, student, plan, work },
        precision: resolvePrecision(checkpoint, plan, parsePrecision(plan.quantize)),
        cacheText: [Int32Array.of(1, 2, 3, 4)],
      });
      const tokenizer = Object.values(manifest.tokenizer).reduce((sum, file) => sum + (file?.bytes ?? 0), 0);
      const point = sweepPoint(checkpoint, cell, plan, tokenizer);

      expect(point.layers).toBe(manifest.layers.length);
      expect(point.blocks).toBe(manifest.weights.filter(({ kind }) => kind === 'block').length);
      expect(point.parameters).toBe(manifest.parameters.folded);
      expect(point.stored).toBeGreaterThanOrEqual(bytesOf(manifest));
      expect(point.stored - bytesOf(manifest)).toBeLessThan(30_000); // what names in both graphs may take
      expect(Math.abs(point.served / servedMemoryOf(manifest, 2048) - 1)).toBeLessThan(0.01);
      const graph = files.get(manifest.graph.sha256)!;
      expect(point.multiplyAdds).toBe(await countedIn(graph, contextOf(checkpoint)));
    },
  );
});

/** Multiply-adds of one token, node by node of the graph that is served. */
async function countedIn(path: string, context: number): Promise<number> {
  const { nodes, external } = await readGraph(path);
  let sum = 0;
  /** What is put together from shards when the model is loaded: numbers of each. */
  const made = new Map<string, number>();
  for (const { opType, input, output, attribute } of nodes) {
    const [pool, table] = input.map((name) => external.get(name)?.shape);
    if (opType === 'Gather' && pool && table) made.set(output[0]!, table[0]! * table[1]! * pool[1]!);
    else if (['Reshape', 'Transpose'].includes(opType) && made.has(input[0]!))
      made.set(output[0]!, made.get(input[0]!)!);
    const ofShards = made.get(input[1]!);
    const value = (name: string) => Number(attribute.find((entry) => entry.name === name)?.i ?? -1);
    const shape = input.map((name) => external.get(name)?.shape).find((dims) => dims && dims.length >= 1);
    if (opType === 'GroupQueryAttention') {
      const window = value('local_window_size');
      sum += 2 * (window < 0 ? context : Math.min(window, context)) * value('num_heads') * 16;
    } else if (opType === 'MatMulNBits') sum += value('K') * value('N');
    else if (['MatMul', 'Gemm', 'FusedMatMul'].includes(opType)) sum += ofShards ?? shape![0]! * shape![1]!;
    else if (opType === 'Mul' && shape) sum += shape[0]!; // a gain
  }
  return sum;
}
