import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openLocalModel } from '../../../artifact/models/open-local.ts';
import { servedMemoryOf } from '../../../artifact/served-memory.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import { compare } from '../../../compressor/compare/compare.ts';
import type { CompareOptions, CompareStep } from '../../../compressor/compare/options.ts';
import { readComparison } from '../../../compressor/compare/read.ts';
import type { CompareRow, Comparison } from '../../../compressor/compare/row.ts';
import { readTexts } from '../../../compressor/compare/texts.ts';
import { foldedModel } from '../../../compressor/evaluate/folded-model.ts';
import { evaluateStudent } from '../../../compressor/evaluate/student.ts';
import { readTask } from '../../../compressor/evaluate/task-file.ts';
import { plannedStudent, unfolded } from '../../../compressor/student/planned-student.ts';
import { blockParameters } from '../../../compressor/weights/block.ts';
import { picoPath } from '../../fixtures/pico.ts';
import { picoCure, picoData } from '../../fixtures/pico-cure.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

const { length, tokensPerStep, batch, session } = picoCure;
/** Four steps. */
const cure = { tokens: 4 * tokensPerStep, length, tokensPerStep, batch, session, learningRate: 3e-3 };

const choices = join(import.meta.dirname, '../../fixtures/evaluation/choices.jsonl');

async function picoComparison(changed: Partial<CompareOptions> = {}): Promise<CompareOptions> {
  const checkpoint = await openCheckpoint(picoPath('llama'));
  onTestFinished(() => checkpoint.close());
  const folder = await temporaryFolder();
  return {
    checkpoint,
    methods: ['foldgpt', 'reverse', 'quantize'],
    budgets: [0.33],
    data: [await picoData()],
    tasks: [{ name: 'choices', task: await readTask(choices, 2) }],
    quantize: 'int8',
    calibrate: 'none',
    rankTokens: 256,
    heldOutTokens: 256,
    cure,
    folder: () => folder,
    version: 'test',
    detokenizer: () => (tokens) => tokens.join(' '),
    ...changed,
  };
}

/** What must be the same however often a comparison was interrupted. */
const lasting = ({ results }: Comparison) =>
  results.map(({ row: { seconds, serving, model, ...row }, ...rest }) => ({ row, ...rest }));

describe('a comparison', () => {
  it('folds to one size, cures alike and measures alike, beside its controls', async () => {
    const options = await picoComparison();
    const steps: CompareStep[] = [];
    const { comparison, folder } = await compare({ ...options, onStep: (step) => steps.push(step) });
    const rows = new Map(comparison.results.map(({ row }) => [row.method, row]));
    expect([...rows.keys()]).toEqual(['original', 'control', 'foldgpt', 'reverse', 'quantize']);
    const row = (method: string) => rows.get(method) as CompareRow;

    const { architecture: a } = options.checkpoint;
    const block = blockParameters(a);
    for (const method of ['foldgpt', 'reverse']) {
      expect(row(method).layers).toBe(2);
      // Whole layers of a third of a budget of 0.33; a patch on top for foldgpt.
      expect(Math.abs(row(method).distinctBlockParameters - 0.67 * 3 * block)).toBeLessThan(block / 2);
      expect(row(method).saved).toBeCloseTo(1 - row(method).distinctBlockParameters / (3 * block), 12);
    }
    expect(row('foldgpt').distinctBlockParameters - row('reverse').distinctBlockParameters).toBe(
      a.width * a.width + a.width,
    );
    for (const method of ['original', 'control', 'quantize']) {
      expect(row(method)).toMatchObject({ layers: 3, saved: 0, distinctBlockParameters: 3 * block });
    }
    expect(row('quantize').note).toBeUndefined();
    expect(row('quantize').quantization).toMatch(/^int4/);
    expect(row('quantize').bytes).toBeLessThanOrEqual(Math.min(row('foldgpt').bytes, row('reverse').bytes));

    // Perplexities, from the models themselves.
    const texts = await readTexts(options.checkpoint, options.data, {
      heldOutShare: 0.01,
      heldOutTokens: 256,
      prompts: 3,
    });
    expect(texts.heldOut.tokens).toBe(comparison.heldOutTokens);
    const whole = await evaluateStudent(unfolded(options.checkpoint), texts.heldOut);
    for (const method of ['original', 'control', 'quantize'])
      expect(row(method).perplexity.before).toBeCloseTo(whole.perplexity, 6);
    const layers = [0, 2].map((source, b) => ({ source, block: b }));
    const cut = await evaluateStudent(
      plannedStudent(options.checkpoint, { layers, weights: 'first' }),
      texts.heldOut,
    );
    expect(row('reverse').perplexity.before).toBeCloseTo(cut.perplexity, 6);
    for (const method of ['original', 'quantize']) expect(row(method).perplexity.cured).toBeNull();
    for (const method of ['control', 'foldgpt', 'reverse'])
      expect(row(method).perplexity.cured).not.toBe(row(method).perplexity.before);
    // Trained on text of the same kind.
    expect(row('control').perplexity.cured).toBeLessThan(row('control').perplexity.before);
    for (const { row: each, samples } of comparison.results) {
      const stored = foldedModel(await openLocalModel(each.model));
      expect((await stored.evaluate(texts.heldOut)).perplexity).toBeCloseTo(each.perplexity.stored, 6);
      expect(each.tasks.choices!.items).toBe(2);
      expect(each.seconds).toBeGreaterThan(0);
      const { time, speed, memory } = each.serving!;
      expect(time).toBeGreaterThan(0);
      expect(speed).toBeGreaterThan(0);
      expect(memory).toBe(servedMemoryOf((await openLocalModel(each.model)).manifest, 2048));
      expect(samples).toHaveLength(comparison.prompts.length);
    }
    expect(row('original').serving!.speed).toBe(1);
    expect(row('reverse').serving!.memory).toBeLessThan(row('original').serving!.memory);

    // The cures' curves end where the rows say, measured by the cure itself.
    for (const { row: each, cure: points } of comparison.results.filter(({ cure: all }) => all.length > 0)) {
      const measured = points.filter(({ perplexity }) => perplexity !== undefined);
      expect(measured.at(-1)!.tokens).toBe(cure.tokens);
      expect(points.filter(({ loss }) => loss !== undefined)).toHaveLength(4);
      expect(measured.length).toBeGreaterThan(1);
      expect(each.method).not.toBe('quantize');
    }
    const gates = comparison.results.flatMap((each) => each.plan.gates ?? []);
    expect(gates).toHaveLength(60);

    expect(steps.map(({ done, total }) => [done, total])).toEqual([1, 2, 3, 4, 5, 6, 7].map((i) => [i, 7]));
    expect(steps.at(-1)!.secondsLeft).toBe(0);
    expect(await readComparison(folder)).toEqual(JSON.parse(JSON.stringify(comparison)));
  });

  it('goes on where it was interrupted, and ends as it would have', async () => {
    const methods = ['reverse', 'uniform'];
    const options = await picoComparison({ methods });
    const abort = new AbortController();
    const interrupted = compare({
      ...options,
      signal: abort.signal,
      onProgress(step, done) {
        if (step === 'uniform at 0.33: curing' && done === 2) abort.abort(new Error('stop here'));
      },
    });
    await expect(interrupted).rejects.toThrow('stop here');

    const steps: CompareStep[] = [];
    const trained: number[] = [];
    const again = await compare({
      ...options,
      onStep: (step) => steps.push(step),
      onProgress: (step, done) => step.endsWith('curing') && trained.push(done),
    });
    expect(steps.map(({ isNew }) => isNew)).toEqual([false, false, false, false, true, true]);
    expect(trained).toEqual([3, 4]);
    const whole = await compare({ ...(await picoComparison({ methods })), data: options.data });
    expect(lasting(again.comparison)).toEqual(lasting(whole.comparison));
  });

  it('does again what depends on something that changed, and nothing else', async () => {
    const options = await picoComparison({ methods: ['reverse'], cure: { ...cure, tokens: 0 } });
    const first = await compare(options);
    expect(first.comparison.results.map(({ row }) => row.method)).toEqual(['original', 'reverse']);
    expect(first.comparison.results[1]!.row.perplexity.cured).toBeNull();
    const isNew = async (changed: Partial<CompareOptions>) => {
      const steps: boolean[] = [];
      await compare({ ...options, ...changed, onStep: (step) => steps.push(step.isNew) });
      return steps;
    };
    expect(await isNew({})).toEqual([false, false, false, false]);
    expect(await isNew({ methods: ['uniform', 'reverse'] })).toEqual([false, false, true, false, true]);
    expect(await isNew({ quantize: 'none' })).toEqual([true, true, true, true]);
    // A file that was cut short is no result.
    await isNew({});
    await truncate(join(first.folder, 'steps/original.json'), 100);
    expect(await isNew({})).toEqual([false, true, false, true]);
  });

  it('says so where nothing is as small', async () => {
    const options = await picoComparison({
      methods: ['reverse', 'quantize'],
      quantize: 'int4:32,embedding=int4:32',
      cure: { ...cure, tokens: 0 },
    });
    const { comparison } = await compare(options);
    const [, reverse, quantized] = comparison.results.map(({ row }) => row);
    expect(quantized!.bytes).toBeGreaterThan(reverse!.bytes);
    expect(quantized!.note).toMatch(`no form of the unfolded model is as small as ${reverse!.bytes} bytes`);
  });

  it.each([
    [{ methods: ['shortgpt', 'modegpt'] }, 'A budget of 0.33 is more than the MLPs of llama can give'],
    [{ methods: ['magic'] }, 'There is no method "magic". There are: best, foldgpt'],
    [{ methods: ['quantize'] }, 'Name a method that folds'],
    [{ budgets: [] }, 'No budget'],
    [{ budgets: [1.5] }, 'not 1.5'],
    [{ budgets: [0.9] }, 'only 1 may go'],
  ])('refuses %j', async (changed, message) => {
    const options = await picoComparison({ ...changed, cure: { ...cure, tokens: 0 } });
    await expect(compare(options)).rejects.toThrow(message);
  });
});
