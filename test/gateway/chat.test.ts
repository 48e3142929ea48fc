import { BadRequestError } from 'openai';
import { describe, expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';

const hello = { role: 'user', content: 'Hello' } as const;

describe('POST /v1/chat/completions', () => {
  it('answers whole, through the template', async () => {
    const { client, tokens, engine } = await startGateway((model) => () => model.tokens('Hi there'));
    const answer = await client.chat.completions.create({
      model: 'tales',
      messages: [{ role: 'system', content: 'Be kind.' }, hello],
    });
    expect(answer.object).toBe('chat.completion');
    expect(answer.id).toMatch(/^chatcmpl-[0-9a-f]{32}$/);
    expect(answer.system_fingerprint).toBe('fp_0123456789');
    expect(answer.choices).toEqual([
      {
        index: 0,
        message: { role: 'assistant', content: 'Hi there', refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ]);
    const prompt = tokens('[system] Be kind.\n[user] Hello\n[assistant] ');
    const { request } = engine.calls[0]!;
    expect(request.prompt).toEqual(prompt);
    // Without a limit the answer may fill the context.
    expect(request.maxTokens).toBe(512);
    expect(answer.usage!.prompt_tokens).toBe(prompt.length);
  });

  it('streams: the role, the text, the end', async () => {
    const { client, tokens } = await startGateway((model) => () => model.tokens('Hi there'));
    const stream = await client.chat.completions.create({
      model: 'tales',
      messages: [hello],
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(new Set(chunks.map((chunk) => chunk.object))).toEqual(new Set(['chat.completion.chunk']));
    const last = chunks.pop()!;
    expect(last.choices).toEqual([]);
    expect(last.usage!.completion_tokens).toBe(tokens('Hi there').length);
    const choices = chunks.map((chunk) => chunk.choices[0]!);
    expect(choices[0]!.delta).toEqual({ role: 'assistant', content: '' });
    expect(choices.at(-1)).toMatchObject({ delta: {}, finish_reason: 'stop' });
    expect(choices.slice(0, -1).every((choice) => choice.finish_reason === null)).toBe(true);
    expect(choices.map((choice) => choice.delta.content ?? '').join('')).toBe('Hi there');
  });

  it("works with the client's own stream helper", async () => {
    const { client } = await startGateway((model) => () => model.tokens('Hi there'));
    const stream = client.chat.completions.stream({ model: 'tales', messages: [hello] });
    expect(await stream.finalContent()).toBe('Hi there');
    expect((await stream.finalChatCompletion()).choices[0]!.finish_reason).toBe('stop');
  });

  it('takes text parts, developer messages and both names of the token limit', async () => {
    const { client, tokens, engine } = await startGateway(() => () => [5]);
    const content = [
      { type: 'text', text: 'one' },
      { type: 'text', text: 'two' },
    ] as const;
    await client.chat.completions.create({
      model: 'tales',
      messages: [
        { role: 'developer', content: 'Be kind.' },
        { role: 'user', content: [...content] },
      ],
      max_completion_tokens: 9,
      max_tokens: 3,
    });
    const { request } = engine.calls[0]!;
    expect(request.prompt).toEqual(tokens('[system] Be kind.\n[user] one\ntwo\n[assistant] '));
    expect(request.maxTokens).toBe(9);
    await client.chat.completions.create({ model: 'tales', messages: [hello], max_tokens: 3 });
    expect(engine.calls[1]!.request.maxTokens).toBe(3);
  });

  it('gives n different answers', async () => {
    const { client, engine } = await startGateway(() => (request) => [5 + (request.sampling.seed ?? 0)]);
    const answer = await client.chat.completions.create({ model: 'tales', messages: [hello], n: 3, seed: 1 });
    expect(engine.calls.map(({ request }) => request.sampling.seed)).toEqual([1, 2, 3]);
    expect(new Set(answer.choices.map((choice) => choice.message.content)).size).toBe(3);
    expect(answer.usage!.prompt_tokens).toBe(engine.calls[0]!.request.prompt.length);
  });

  it('refuses to chat with a model that was never taught to', async () => {
    const { client } = await startGateway(() => () => [5], { template: 'none' });
    const request = client.chat.completions.create({ model: 'tales', messages: [hello] });
    await expect(request).rejects.toThrow(BadRequestError);
    await expect(request).rejects.toMatchObject({
      code: 'chat_not_supported',
      message: expect.stringMatching('/v1/completions'),
    });
  });

  it("passes a template's refusal on", async () => {
    const template = "{{ raise_exception('Only one message at a time.') }}";
    const { client } = await startGateway(() => () => [5], { template });
    await expect(client.chat.completions.create({ model: 'tales', messages: [hello] })).rejects.toMatchObject(
      {
        status: 400,
        param: 'messages',
        message: expect.stringContaining('Only one message at a time.'),
      },
    );
  });

  it.each([
    ['an unknown role', { role: 'function', content: 'x' }, 'messages[1].role'],
    [
      'an image',
      { role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:' } }] },
      'messages[1].content',
    ],
    ['no content', { role: 'user' }, 'messages[1].content'],
  ])('refuses %s by its place', async (_name, message, param) => {
    const { post, engine } = await startGateway(() => () => [5]);
    const response = await post('/v1/chat/completions', { model: 'tales', messages: [hello, message] });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error', param } });
    expect(engine.calls).toHaveLength(0);
  });
});
