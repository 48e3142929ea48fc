import { BadRequestError } from 'openai';
import { describe, expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';

const start = (options = {}) => startGateway((model) => () => model.tokens('Hi there'), options);
const user = { role: 'user', content: 'Hello' } as const;
const chatPath = '/v1/chat/completions';

describe('messages that are none', () => {
  it.each([
    ['null', null],
    ['a string', 'Hello'],
    ['numbers', [123]],
    ['empty objects', [{}]],
    ['a role that is a number', [{ role: 123 }]],
    ['content that is a number', [{ role: 'system', content: 123 }]],
    ['one that is, and one that is not', [user, {}]],
    ['no messages', []],
  ])('%s: 400', async (_what, messages) => {
    const { post, engine } = await start();
    const response = await post(chatPath, { model: 'tales', messages });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { param: string } };
    expect(error.param).toMatch(/^messages/);
    expect(engine.calls).toHaveLength(0);
  });
});

describe('a server that refused a request', () => {
  it('answers the next one', async () => {
    const { client } = await start();
    const body = { model: 'tales', prompt: 'x' };
    await expect(client.completions.create({ ...body, logprobs: 21 })).rejects.toThrow(BadRequestError);
    expect((await client.completions.create(body)).choices[0]!.text).toBe('Hi there');
  });
});

describe('usage', () => {
  it('comes with whole answers, with streams where it was asked for, in the last chunk alone', async () => {
    const { client } = await start();
    const body = { model: 'tales', messages: [user] };
    expect((await client.chat.completions.create(body)).usage!.completion_tokens).toBeGreaterThan(0);
    const usages = async (fields: object) => {
      const stream = await client.chat.completions.create({ ...body, ...fields, stream: true });
      const found = [];
      for await (const chunk of stream) found.push(chunk.usage);
      return found;
    };
    expect((await usages({})).every((usage) => usage === undefined)).toBe(true);
    expect((await usages({ stream_options: {} })).every((usage) => usage === undefined)).toBe(true);
    const asked = await usages({ stream_options: { include_usage: true } });
    expect(asked.pop()).toMatchObject({ completion_tokens: 2 });
    expect(asked.every((usage) => usage === null)).toBe(true);
  });
});

describe('the tokens of /tokenize', () => {
  it('are a prompt that is the same as the text', async () => {
    const { client, post, engine } = await start();
    const prompt = 'Once there was a fox';
    const { tokens } = (await (await post('/tokenize', { prompt })).json()) as { tokens: number[] };
    await client.completions.create({ model: 'tales', prompt: [tokens] });
    await client.completions.create({ model: 'tales', prompt });
    expect(engine.calls[0]!.request.prompt).toEqual(engine.calls[1]!.request.prompt);
  });
});

describe('an answer that was begun', () => {
  const messages = [user, { role: 'assistant', content: 'The capital' } as const];

  it('is gone on with where the client says so', async () => {
    const { post, engine, tokens } = await startGateway((model) => () => model.tokens(' is Paris'));
    const body = { model: 'tales', messages, add_generation_prompt: false, continue_final_message: true };
    const answer = (await (await post(chatPath, body)).json()) as { choices: { message: object }[] };
    expect(engine.calls[0]!.request.prompt).toEqual(tokens('[user] Hello\n[assistant] The capital'));
    // Its leading space belongs to the text before it.
    expect(answer.choices[0]!.message).toMatchObject({ content: ' is Paris' });
    await post(chatPath, { model: 'tales', messages });
    const whole = tokens('[user] Hello\n[assistant] The capital\n[assistant] ');
    expect(engine.calls[1]!.request.prompt).toEqual(whole);
  });

  it.each([
    ['begun and to be begun', { add_generation_prompt: true }, 'add_generation_prompt'],
    ["the user's", { messages: [user] }, 'continue_final_message'],
  ])('is refused where it is %s', async (_what, fields, param) => {
    const { post } = await start();
    const response = await post(chatPath, {
      model: 'tales',
      messages,
      continue_final_message: true,
      ...fields,
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param } });
  });
});

describe('a body', () => {
  it('is read as JSON, whatever its content type says', async () => {
    const { server } = await start();
    const body = JSON.stringify({ model: 'tales', prompt: 'x' });
    for (const type of ['application/x-www-form-urlencoded', 'text/plain']) {
      const init = { method: 'POST', headers: { 'content-type': type }, body };
      expect((await fetch(`${server.url}/v1/completions`, init)).status).toBe(200);
    }
  });
});

describe('/health', () => {
  it('is what llama.cpp and vLLM have there', async () => {
    const { server } = await start();
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });
});
