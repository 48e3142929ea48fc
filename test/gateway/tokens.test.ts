import { describe, expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';

const text = 'Once there was a fox who lived 媽 and 🤗';

interface Answer {
  tokens: (number | { id: number; piece: string | number[] })[];
  count: number;
  token_strs: string[];
  error: { param: string | null };
}

async function gateway(options = {}) {
  const started = await startGateway(() => () => [5], { contextLength: 64, ...options });
  const ask = async (path: string, body: object) => {
    const response = await started.post(path, body);
    return { status: response.status, body: (await response.json()) as Answer };
  };
  return { ...started, ask };
}

describe('POST /tokenize', () => {
  it("takes llama.cpp's content: bare unless told otherwise", async () => {
    const { ask, tokens } = await gateway();
    const bare = tokens(text);
    expect(await ask('/tokenize', { content: text })).toEqual({
      status: 200,
      body: { tokens: bare, count: bare.length, max_model_len: 64 },
    });
    const { body } = await ask('/tokenize', { content: text, add_special: true });
    expect(body.tokens).toEqual([0, ...bare]);
  });

  it("takes vLLM's prompt: with the token that texts begin with, unless told otherwise", async () => {
    const { ask, tokens } = await gateway();
    const { body } = await ask('/tokenize', { model: 'tales', prompt: 'fox', return_token_strs: true });
    expect(body).toMatchObject({ tokens: [0, ...tokens('fox')], count: 1 + tokens('fox').length });
    expect(body.token_strs).toHaveLength(body.count);
    expect(body.token_strs[0]).toBe('<|endoftext|>');
    const bare = await ask('/tokenize', { prompt: 'fox', add_special_tokens: false });
    expect(bare.body.tokens).toEqual(tokens('fox'));
  });

  it('takes messages, through the template', async () => {
    const { ask, tokens } = await gateway();
    const messages = [{ role: 'user', content: 'Hi' }];
    expect((await ask('/tokenize', { messages })).body.tokens).toEqual(tokens('[user] Hi\n[assistant] '));
    const template = '{{ messages[0].content }}{% if add_generation_prompt %} !{% endif %}';
    const other = await gateway({ template });
    const answer = await other.ask('/tokenize', { messages, add_generation_prompt: false });
    expect(answer.body.tokens).toEqual(tokens('Hi'));
  });

  it('gives the pieces, which put together are the text, byte for byte', async () => {
    const { ask } = await gateway();
    const { body } = await ask('/tokenize', { content: text, with_pieces: true });
    const pieces = body.tokens.map((token) => (typeof token === 'object' ? token.piece : 'no piece'));
    expect(pieces.some((piece) => typeof piece !== 'string')).toBe(true);
    const bytes = Buffer.concat(pieces.map((piece) => Buffer.from(piece as string)));
    expect(bytes.toString()).toBe(text);
  });

  it('counts texts that no prompt could hold', async () => {
    const { ask, tokens } = await gateway();
    const long = 'one two three '.repeat(5000);
    expect((await ask('/tokenize', { content: long })).body.count).toBe(tokens(long).length);
  });

  it.each([
    [{}, null],
    [{ content: 'a', prompt: 'b' }, null],
    [{ content: 5 }, 'content'],
    [{ content: 'a', parse_special: false }, 'parse_special'],
    [{ messages: [{ role: 'robot', content: 'x' }] }, 'messages[0].role'],
  ])('refuses %j', async (body, param) => {
    const { ask } = await gateway();
    expect(await ask('/tokenize', body)).toMatchObject({ status: 400, body: { error: { param } } });
  });

  it('knows other models as little as the other endpoints', async () => {
    const { ask } = await gateway();
    for (const [path, fields] of [
      ['/tokenize', { content: 'a' }],
      ['/detokenize', { tokens: [1] }],
    ] as const) {
      const answer = await ask(path, { model: 'gpt-4', ...fields });
      expect(answer).toMatchObject({ status: 404, body: { error: { code: 'model_not_found' } } });
    }
  });
});

describe('POST /apply-template', () => {
  it('gives the conversation as the model reads it', async () => {
    const { ask, engine } = await gateway({
      template: '{{ messages[0].content }}{% if add_generation_prompt %} !{% endif %}',
    });
    const messages = [{ role: 'user', content: 'Hi' }];
    expect(await ask('/apply-template', { messages })).toEqual({ status: 200, body: { prompt: 'Hi !' } });
    const bare = await ask('/apply-template', { messages, add_generation_prompt: false });
    expect(bare.body).toEqual({ prompt: 'Hi' });
    expect(engine.calls).toHaveLength(0);
  });

  it('has no template to apply where the model has none', async () => {
    const { ask } = await gateway({ template: 'none' });
    const answer = await ask('/apply-template', { messages: [{ role: 'user', content: 'Hi' }] });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'chat_not_supported' } } });
  });
});

describe('POST /detokenize', () => {
  it.each([text, '', ' leading', 'a<|endoftext|>b', '\u0000\r\n\t'])('gives %j back', async (content) => {
    const { ask } = await gateway();
    const { tokens } = (await ask('/tokenize', { content })).body;
    expect(await ask('/detokenize', { tokens })).toEqual({
      status: 200,
      body: { content, prompt: content },
    });
  });

  it.each([[[4096]], [[-1]], [['a']], 'x'])('refuses %j', async (tokens) => {
    const { ask } = await gateway();
    const { status, body } = await ask('/detokenize', { tokens });
    expect(status).toBe(400);
    expect(body.error.param).toMatch(/^tokens/);
  });
});
