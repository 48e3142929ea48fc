import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { evaluateFolded } from '../../compressor/evaluate/folded.ts';
import { measureFold } from '../../compressor/measure-fold.ts';
import { makePlan } from '../../compressor/plan/make-plan.ts';
import { checkPlan } from '../../compressor/plan/plan.ts';
import type { Sweep } from '../../compressor/plan/sweep.ts';
import { startFoldgate } from '../fixtures/command-line.ts';
import { foldInto } from '../fixtures/fold-into.ts';
import { elementsOf } from '../fixtures/html-elements.ts';
import { picoPath } from '../fixtures/pico.ts';
import { picoArchitecture, randomCheckpoint } from '../fixtures/random-checkpoint.ts';
import { textOf } from '../fixtures/texts.ts';

const pico = picoPath('llama');
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldgate-sweep-'));
  await writeFile(join(folder, 'text.txt'), 'Once upon a time there was a little girl. '.repeat(20));
});
afterAll(() => rm(folder, { recursive: true }));

const plan = (...args: string[]) =>
  startFoldgate(['plan', pico, ...args], { FOLDGATE_CACHE: join(folder, 'cache') }).result;

describe('a fold that is measured', () => {
  const checkpoint = randomCheckpoint();
  const text = textOf([Array.from({ length: 60 }, (_, i) => (i * 37) % picoArchitecture.vocabularySize)]);
  const options = { remove: 0.25, share: 2, weights: 'first' as const, quantize: 'none', keep: [0, -1] };
  const planned = makePlan({ name: 'random', layers: 4 }, { method: 'given', scores: [4, 1, 2, 3] }, options);

  it('has the perplexity of the stored model that the fold would publish, and leaves nothing behind', async () => {
    const workFolder = join(folder, 'work');
    const steps: string[] = [];
    const { perplexity, time } = await measureFold({
      ...{ checkpoint, plan: planned, text, workFolder },
      onProgress: (step, done, total) => done === total && steps.push(step),
    });
    const scores = [4, 1, 2, 3];
    const folded = await foldInto(join(folder, 'folded'), checkpoint, { ...options, scores });
    const served = await evaluateFolded(folded.graphPath, folded.manifest, text);
    expect(perplexity / served.perplexity).toBeCloseTo(1, 4);
    expect(time).toBeGreaterThan(0);
    expect(time).toBeLessThan(1000);
    expect(steps).toEqual(['perplexity', 'writing']);
    expect((await readdir(workFolder)).filter((name) => !name.endsWith('.lock'))).toEqual([]);
  });

  it('is timed in its quantized form, and measured without it', async () => {
    const how = { checkpoint, text, workFolder: join(folder, 'work') };
    const [one, two] = [
      await measureFold({ ...how, plan: planned }),
      await measureFold({ ...how, plan: { ...planned, quantize: 'int4:32' } }),
    ];
    expect(two.perplexity).toBe(one.perplexity);
  });

  it('stops when it is told to, and leaves nothing then either', async () => {
    const workFolder = join(folder, 'stopped');
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(measureFold({ checkpoint, plan: planned, text, workFolder, signal })).rejects.toThrow(
      'enough',
    );
    const left = await readdir(workFolder).catch(() => []);
    expect(left.filter((name) => !name.endsWith('.lock'))).toEqual([]);
  });
});

describe('plan --sweep', () => {
  it('prints a row a fold, without reading weights', async () => {
    const { code, stdout, stderr } = await plan('--sweep', '--quantize', 'none');
    expect(code, stderr).toBe(0);
    expect(stderr).toBe('');
    const [title, , header, ...rows] = stdout.split('\n');
    expect(title).toBe('Folds of llama, stored as none');
    expect(header).toMatch(
      /^kept +share +width +blocks +layers +parameters +stored +in memory +multiply-adds$/,
    );
    const found = rows
      .slice(0, rows.indexOf(''))
      .map((row) => row.trim().split(/ +/).slice(0, 5).map(Number));
    expect(found).toEqual([
      [3, 1, 1, 3, 3],
      [3, 2, 1, 2, 3],
      [3, 3, 1, 1, 3],
      [2, 1, 1, 2, 2],
      [2, 2, 1, 1, 2],
      [2, 3, 1, 1, 2],
    ]);
  });

  it('measures each fold, and draws what came out', async () => {
    const report = join(folder, 'sweep.html');
    const flags = ['--sweep-kept', '3,2', '--sweep-share', '1,3', '--rank', 'influence'];
    const text = ['--calibration', join(folder, 'text.txt')];
    const { code, stdout, stderr } = await plan(
      '--sweep',
      '--measure',
      ...flags,
      ...text,
      '--report',
      report,
      '--json',
    );
    expect(code, stderr).toBe(0);
    const sweep: Sweep = JSON.parse(stdout);
    expect(sweep).toMatchObject({
      ...{ checkpoint: 'llama', checkpointLayers: 3, quantize: 'int4' },
      measured: { rank: 'influence', text: 'text.txt' },
    });
    expect(sweep.points.map(({ kept, share }) => [kept, share])).toEqual([
      [3, 1],
      [3, 3],
      [2, 1],
      [2, 3],
    ]);
    const checkpoint = await openCheckpoint(pico);
    for (const { plan: made, measured, kept } of sweep.points) {
      expect(measured!.perplexity).toBeGreaterThan(1);
      expect(measured!.time).toBeGreaterThan(0);
      expect(
        checkPlan(made, { name: 'llama', layers: 3, intermediateSize: 64 }, 'sweep').layers,
      ).toHaveLength(kept);
    }
    await checkpoint.close();
    expect(sweep.points[2]!.plan!.layers.map(({ source }) => source)).toEqual([0, 2]);
    const ranked = stderr.split('\n').filter((line) => line === 'Ranking layers by influence ...');
    expect(ranked).toHaveLength(1);
    expect(stderr).toContain('Sweeping: 4/4');

    const page = await readFile(report, 'utf8');
    const sections = elementsOf(page).filter(({ name }) => name === 'section');
    expect(sections.map(({ attributes }) => attributes.get('id'))).toEqual(['quality', 'work', 'folds']);
    for (const { measured } of sweep.points) expect(page).toContain(measured!.perplexity.toFixed(2));
  });

  it('measures folds of narrower MLPs, whose widths follow the ranking', async () => {
    const flags = [
      '--sweep-kept',
      '3',
      '--sweep-share',
      '1',
      '--sweep-width',
      '1,0.75,0.5',
      '--rank',
      'influence',
    ];
    const text = ['--calibration', join(folder, 'text.txt')];
    const { code, stdout, stderr } = await plan('--sweep', '--measure', ...flags, ...text, '--json');
    expect(code, stderr).toBe(0);
    const { points }: Sweep = JSON.parse(stdout);
    expect(points.map(({ width }) => width)).toEqual([1, 0.75, 0.5]);
    const [whole, some, half] = points.map(({ plan: made }) => made!.widths);
    expect(whole).toBeUndefined();
    expect(half).toEqual([32, 32, 32]);
    // One of three goes in halves; the least important first.
    const { scores } = points[1]!.plan!;
    expect(some!.toSorted()).toEqual([32, 32, 64]);
    expect(some!.indexOf(64)).toBe(scores!.indexOf(Math.max(...scores!)));
    const stored = points.map((point) => point.stored);
    expect(stored.toSorted((a, b) => b - a)).toEqual(stored);
    for (const { measured } of points) expect(measured!.perplexity).toBeGreaterThan(1);
    expect(points[1]!.measured!.perplexity).not.toBe(points[0]!.measured!.perplexity);
  });

  it.each([
    [['--sweep', '--remove', '0.3'], "'--sweep' cannot be used with option '--remove <share>'"],
    [['--measure'], '--measure needs --sweep.'],
    [['--report', 'x.html'], '--report needs --sweep.'],
    [
      ['--sweep', '--sweep-kept', '4'],
      'A sweep keeps 2 (those of --keep) to 3 layers (all of llama), not 4.',
    ],
    [['--sweep', '--width', '0.5'], "'--sweep' cannot be used with option '--width <share>'"],
    [['--sweep-width', '0.5'], '--sweep-width needs --sweep.'],
    [['--sweep', '--sweep-width', '0.1'], "A sweep keeps 0.500 to 1 of the MLPs' width of llama, not 0.1."],
    [['--sweep', '--sweep-share', '0'], 'A whole number above 0 is expected.'],
  ])('refuses %j', async (flags, message) => {
    const { code, stderr } = await plan(...flags);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});
