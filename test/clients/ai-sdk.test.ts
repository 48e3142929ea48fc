import { expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';
import { requireClient } from './installed.ts';

const messages = [{ role: 'user' as const, content: 'Hello' }];

async function start() {
  const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible');
  const gateway = await startGateway((model) => () => model.tokens('Hi there'));
  const baseURL = `${gateway.server.url}/v1`;
  const provider = createOpenAICompatible({ name: 'foldgate', baseURL, apiKey: 'any', includeUsage: true });
  return { ...gateway, provider };
}

it('the AI SDK generates text: chat and completions', async (ctx) => {
  requireClient(ctx, 'ai');
  const { generateText } = await import('ai');
  const { provider, engine, tokens } = await start();
  const model = provider('tales');
  const answer = await generateText({
    model,
    instructions: 'Be kind.',
    messages,
    maxOutputTokens: 50,
    temperature: 0.5,
  });
  expect(answer.text).toBe('Hi there');
  expect(answer.finishReason).toBe('stop');
  const prompt = tokens('[system] Be kind.\n[user] Hello\n[assistant] ');
  expect(answer.usage).toMatchObject({ inputTokens: prompt.length, outputTokens: tokens('Hi there').length });
  const { request } = engine.calls[0]!;
  expect(request).toMatchObject({ prompt, maxTokens: 50, sampling: { temperature: 0.5 } });
  const completion = await generateText({ model: provider.completionModel('tales'), prompt: 'Once' });
  expect(completion.text).toBe('Hi there');
});

it('the AI SDK streams text', async (ctx) => {
  requireClient(ctx, 'ai');
  const { streamText } = await import('ai');
  const { provider } = await start();
  const result = streamText({ model: provider('tales'), messages, maxOutputTokens: 1 });
  const pieces: string[] = [];
  for await (const piece of result.textStream) pieces.push(piece);
  expect(pieces.join('')).toBe('Hi');
  expect(await result.finishReason).toBe('length');
  expect((await result.usage).outputTokens).toBe(1);
});

it("the AI SDK tells the server's errors", async (ctx) => {
  requireClient(ctx, 'ai');
  const { APICallError, generateText } = await import('ai');
  const { provider } = await start();
  const error = await generateText({ model: provider('gpt-4'), messages, maxRetries: 0 }).catch(
    (error) => error,
  );
  expect(APICallError.isInstance(error)).toBe(true);
  expect(error.statusCode).toBe(404);
  expect(error.isRetryable).toBe(false);
  expect(error.message).toContain('"gpt-4" does not exist');
});
