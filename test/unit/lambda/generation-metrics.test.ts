import { expect, it } from 'vitest';
import { createApp } from '../../../functions/gateway/app.ts';
import { generationMetrics } from '../../../functions/lambda/generation-metrics.ts';
import { textModel } from '../../fixtures/text-model.ts';

async function linesOf(path: string, body: object) {
  const lines: string[] = [];
  const { models } = await textModel(() => [10, 11, 12]);
  const { app } = createApp(models, { observers: [generationMetrics((line) => lines.push(line))] });
  await (
    await app.request(path, { method: 'POST', body: JSON.stringify({ model: 'tales', ...body }) })
  ).text();
  return lines.map((line) => JSON.parse(line));
}

it('tells the tokens and times of a request in one line that CloudWatch reads', async () => {
  const [line, ...others] = await linesOf('/v1/completions', { prompt: [5, 6], stream: true });
  expect(others).toEqual([]);
  expect(line).toMatchObject({
    Model: 'tales',
    PromptTokens: 2,
    CachedTokens: 0,
    CompletionTokens: 3,
    TimePerOutputToken: 1.5, // the script's engine takes 3 ms for the two behind the first
  });
  expect(line.TimeToFirstToken).toBeGreaterThanOrEqual(line.QueueTime + 2);
  const [{ Namespace, Dimensions, Metrics }] = line._aws.CloudWatchMetrics;
  expect({ Namespace, Dimensions }).toEqual({ Namespace: 'Foldgate', Dimensions: [['Model']] });
  for (const { Name } of Metrics) expect(line[Name], Name).toBeTypeOf('number');
  expect(line.gatewayRequestId).toMatch(/^[\w-]{8,}$/);
});

it('has no line for what makes no text', async () => {
  expect(await linesOf('/v1/completions', { prompt: 5 })).toEqual([]);
  expect(await linesOf('/tokenize', { prompt: 'x' })).toEqual([]);
});
