import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { scoreTask } from '../../compressor/evaluate/score-task.ts';
import { cutStridedWindows } from '../../compressor/evaluate/strided-windows.ts';
import { readTask } from '../../compressor/evaluate/task-file.ts';
import { pairEncoder } from '../../compressor/evaluate/task-sequences.ts';
import { evaluatedCheckpoint, evaluationFile, evaluationGolden } from '../fixtures/evaluation.ts';
import { realModel } from '../fixtures/models.ts';

it("SmolLM2 has transformers' perplexity and scores", async (ctx) => {
  const checkpoint = await openCheckpoint(realModel(ctx, 'smollm2'));
  const golden = await evaluationGolden('smollm2');
  const model = await evaluatedCheckpoint(checkpoint);

  const text = await readFile(evaluationFile('text.txt'), 'utf8');
  expect(model.tokenizer.encode(text)).toEqual(golden.tokens);
  const { window, stride, nll, tokens } = golden.strided[0]!;
  const windows = cutStridedWindows(model.tokenizer, text, { length: window, stride, bos: 'first' });
  const quality = await model.evaluate(windows);
  expect(quality.tokens).toBe(tokens);
  expect(quality.nll).toBeCloseTo(nll, 3);

  const task = await readTask(evaluationFile('choices.jsonl'), 6);
  if (task.kind !== 'choice') throw new Error('choices are expected');
  const encoder = pairEncoder(model);
  const pairs = task.items.flatMap(({ query, choices, where }) =>
    choices.map((choice) => encoder.encode(query, choice, where)),
  );
  const likelihoods = (await model.predict(pairs)).map(({ losses }) => -losses.reduce((a, b) => a + b, 0));
  const expected = golden.choices.slice(0, 6);
  for (const [i, value] of expected.flat().entries()) expect(likelihoods[i]).toBeCloseTo(value, 2);
  const right = task.items.filter(({ gold }, i) => {
    const values = expected[i]!;
    return values.indexOf(Math.max(...values)) === gold;
  });
  expect(await scoreTask(model, task)).toMatchObject({ accuracy: right.length / 6, items: 6, truncated: 0 });

  const words = await scoreTask(model, await readTask(evaluationFile('words.jsonl')));
  const mean = golden.words.reduce((sum, [total]) => sum + total, 0) / golden.words.length;
  expect(Math.log(words.perplexity!)).toBeCloseTo(-mean, 2);
  expect(words.accuracy).toBe(golden.words.filter(([, greedy]) => greedy).length / golden.words.length);
  await checkpoint.close();
});
