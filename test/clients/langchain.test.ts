import { expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';
import { requireClient } from './installed.ts';

async function start(fields: object = {}) {
  const { ChatOpenAI } = await import('@langchain/openai');
  const gateway = await startGateway((model) => () => model.tokens('Hi there'));
  const configuration = { baseURL: `${gateway.server.url}/v1` };
  const chat = new ChatOpenAI({ model: 'tales', apiKey: 'any', maxRetries: 0, configuration, ...fields });
  return { ...gateway, chat, configuration };
}

it('LangChain answers messages, whole and streamed', async (ctx) => {
  requireClient(ctx, '@langchain/openai');
  const { HumanMessage, SystemMessage } = await import('@langchain/core/messages');
  const { chat, engine, tokens } = await start({ temperature: 0.5, maxTokens: 50, stop: ['never'] });
  const messages = [new SystemMessage('Be kind.'), new HumanMessage('Hello')];
  const answer = await chat.invoke(messages);
  expect(answer.text).toBe('Hi there');
  const prompt = tokens('[system] Be kind.\n[user] Hello\n[assistant] ');
  const output_tokens = tokens('Hi there').length;
  expect(answer.usage_metadata).toMatchObject({ input_tokens: prompt.length, output_tokens });
  expect(answer.response_metadata).toMatchObject({ finish_reason: 'stop' });
  expect(engine.calls[0]!.request).toMatchObject({ prompt, maxTokens: 50, sampling: { temperature: 0.5 } });
  let text = '';
  let usage: unknown;
  for await (const chunk of await chat.stream(messages)) {
    text += chunk.text;
    usage = chunk.usage_metadata ?? usage;
  }
  expect(text).toBe('Hi there');
  expect(usage).toMatchObject({ output_tokens });
});

it('LangChain answers by the Responses API', async (ctx) => {
  requireClient(ctx, '@langchain/openai');
  const { chat, tokens } = await start({ useResponsesApi: true });
  const answer = await chat.invoke('Hello');
  expect(answer.text).toBe('Hi there');
  expect(answer.usage_metadata).toMatchObject({ output_tokens: tokens('Hi there').length });
  let text = '';
  for await (const chunk of await chat.stream('Hello')) text += chunk.text;
  expect(text).toBe('Hi there');
});

it('LangChain goes on from texts', async (ctx) => {
  requireClient(ctx, '@langchain/openai');
  const { OpenAI } = await import('@langchain/openai');
  const { configuration, engine, tokens } = await start();
  const llm = new OpenAI({ model: 'tales', apiKey: 'any', maxRetries: 0, configuration, maxTokens: 9 });
  expect(await llm.invoke('Once')).toBe('Hi there');
  expect(engine.calls[0]!.request).toMatchObject({ prompt: [0, ...tokens('Once')], maxTokens: 9 });
});

it("LangChain tells the server's errors", async (ctx) => {
  requireClient(ctx, '@langchain/openai');
  const { chat } = await start({ model: 'gpt-4' });
  const error = await chat.invoke('Hello').catch((error) => error);
  expect(error.status).toBe(404);
  expect(error.message).toContain('"gpt-4" does not exist');
});
