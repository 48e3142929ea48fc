import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openLocalModel } from '../../../artifact/models/open-local.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import type { EvaluatedModel } from '../../../compressor/evaluate/evaluated-model.ts';
import { foldedModel } from '../../../compressor/evaluate/folded-model.ts';
import { scoreTask } from '../../../compressor/evaluate/score-task.ts';
import { cutStridedWindows } from '../../../compressor/evaluate/strided-windows.ts';
import { readTask } from '../../../compressor/evaluate/task-file.ts';
import { pairEncoder } from '../../../compressor/evaluate/task-sequences.ts';
import { cutWindows } from '../../../compressor/evaluate/windows.ts';
import {
  type EvaluationGolden,
  evaluatedCheckpoint,
  evaluationFile,
  evaluationGolden,
} from '../../fixtures/evaluation.ts';
import { foldInto } from '../../fixtures/fold-into.ts';
import { picoPath } from '../../fixtures/pico.ts';

const paths = {
  'tales-5m': join(import.meta.dirname, '../../../checkpoints/tales-5m'),
  mistral: picoPath('mistral'),
  gemma3: picoPath('gemma3'),
};
/** Float32 in another order of summation, over up to 130 tokens. */
const digits = 3;

describe.each(Object.keys(paths) as (keyof typeof paths)[])('%s, by transformers', (name) => {
  let models: Record<'checkpoint' | 'folded', EvaluatedModel>;
  let golden: EvaluationGolden;
  let folder: string;

  beforeAll(async () => {
    golden = await evaluationGolden(name);
    const checkpoint = await openCheckpoint(paths[name]);
    folder = await mkdtemp(join(tmpdir(), 'foldgate-evaluate-'));
    await foldInto(folder, checkpoint);
    models = {
      // Few enough states that the items go through in several passes.
      checkpoint: await evaluatedCheckpoint(checkpoint, 600 * checkpoint.architecture.width),
      folded: foldedModel(await openLocalModel(`file:${join(folder, 'store')}/pico`)),
    };
  });
  afterAll(async () => {
    await models?.checkpoint.close();
    await rm(folder, { recursive: true });
  });

  describe.each(['checkpoint', 'folded'] as const)('the %s', (form) => {
    it('has the perplexity of windows that do not overlap', async () => {
      const { tokenizer } = models[form];
      const text = await readFile(evaluationFile('text.txt'), 'utf8');
      expect(tokenizer.encode(text)).toEqual(golden.tokens);
      const { window, nll, tokens } = golden.disjoint;
      const quality = await models[form].evaluate(cutWindows(tokenizer, text, window));
      expect(quality.tokens).toBe(tokens);
      expect(quality.nll).toBeCloseTo(nll, digits);
    });

    it('has the perplexity of windows that overlap', async () => {
      const text = await readFile(evaluationFile('text.txt'), 'utf8');
      for (const { window, stride, nll, tokens, guide } of golden.strided) {
        const options = { length: window, stride, bos: 'first' } as const;
        const quality = await models[form].evaluate(cutStridedWindows(models[form].tokenizer, text, options));
        expect(quality.tokens).toBe(tokens);
        expect(quality.nll).toBeCloseTo(nll, digits);
        // transformers' page weighs windows a little otherwise, and all alike where nothing overlaps.
        expect(Math.abs(quality.nll - guide)).toBeLessThan(stride === window ? 1e-3 : 0.02);
      }
    });

    it('holds choices as likely', async () => {
      const task = await readTask(evaluationFile('choices.jsonl'));
      if (task.kind !== 'choice') throw new Error('choices are expected');
      const encoder = pairEncoder(models[form]);
      const pairs = task.items.flatMap(({ query, choices, where }) =>
        choices.map((choice) => encoder.encode(query, choice, where)),
      );
      const predictions = await models[form].predict(pairs);
      const own = predictions.map(({ losses }) => -losses.reduce((sum, loss) => sum + loss, 0));
      for (const [i, expected] of golden.choices.flat().entries())
        expect(own[i]).toBeCloseTo(expected, digits);
      expect(own).toHaveLength(golden.choices.flat().length);
    });

    it('has the same scores', async () => {
      const task = await readTask(evaluationFile('choices.jsonl'));
      if (task.kind !== 'choice') throw new Error('choices are expected');
      const score = await scoreTask(models[form], task);
      const share = (value: (score: number, choice: string) => number) =>
        task.items.filter(({ choices, gold }, i) => {
          const values = golden.choices[i]!.map((score, j) => value(score, choices[j]!));
          return values.indexOf(Math.max(...values)) === gold;
        }).length / task.items.length;
      const p = share((score) => score);
      expect(score).toEqual({
        accuracy: p,
        accuracyNorm: share((score, choice) => score / Array.from(choice).length),
        accuracyBytes: share((score, choice) => score / new TextEncoder().encode(choice).length),
        stderr: expect.closeTo(Math.sqrt((p * (1 - p)) / 9), 10),
        items: 10,
        truncated: 0,
      });
    });

    it('ends texts as likely', async () => {
      const task = await readTask(evaluationFile('words.jsonl'));
      const score = await scoreTask(models[form], task);
      const right = golden.words.filter(([, greedy]) => greedy).length;
      const mean = golden.words.reduce((sum, [total]) => sum + total, 0) / golden.words.length;
      expect(score.accuracy).toBe(right / golden.words.length);
      expect(Math.log(score.perplexity!)).toBeCloseTo(-mean, digits);
      expect(score.accuracyNorm).toBeNull();
      expect(score.items).toBe(golden.words.length);
    });

    it('writes the same', async () => {
      const prompts = golden.greedy.map(({ prompt }) => Int32Array.from(prompt));
      const count = form === 'folded' ? 32 : 6; // a checkpoint runs whole for every token
      const written = await models[form].continueGreedily(prompts, count);
      for (const [i, { tokens }] of golden.greedy.entries()) {
        expect([...written[i]!].slice(0, tokens.length)).toEqual(tokens.slice(0, count));
      }
      expect(Math.max(...golden.greedy.map(({ tokens }) => tokens.length))).toBe(32);
    });
  });
});
