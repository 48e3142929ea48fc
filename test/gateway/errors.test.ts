import { BadRequestError, InternalServerError, NotFoundError } from 'openai';
import { describe, expect, it } from 'vitest';
import { EngineError } from '../../functions/engine/engine.ts';
import { startGateway } from '../fixtures/gateway.ts';

const path = '/v1/completions';
const valid = { model: 'tales', prompt: 'x' };

async function errorOf(response: Response) {
  expect(response.headers.get('content-type')).toMatch(/^application\/json/);
  const body = (await response.json()) as {
    error: { message: string; type: string; param: unknown; code: unknown };
  };
  expect(Object.keys(body)).toEqual(['error']);
  expect(Object.keys(body.error).sort()).toEqual(['code', 'message', 'param', 'type']);
  return { status: response.status, ...body.error };
}

describe('wrong requests', () => {
  it.each([
    [{ prompt: 'x' }, 'model'],
    [{ model: 'tales' }, 'prompt'],
    [{ ...valid, prompt: [] }, 'prompt'],
    [{ ...valid, prompt: [[]] }, 'prompt[0]'],
    [{ ...valid, prompt: [-1] }, 'prompt[0]'],
    [{ ...valid, prompt: [4096] }, 'prompt'],
    [{ ...valid, prompt: ['x', 3] }, 'prompt'],
    [{ ...valid, temperature: 2.1 }, 'temperature'],
    [{ ...valid, temperature: 'hot' }, 'temperature'],
    [{ ...valid, top_p: -0.1 }, 'top_p'],
    [{ ...valid, top_k: 1.5 }, 'top_k'],
    [{ ...valid, min_p: 2 }, 'min_p'],
    [{ ...valid, seed: 0.5 }, 'seed'],
    [{ ...valid, max_tokens: -1 }, 'max_tokens'],
    [{ ...valid, n: 0 }, 'n'],
    [{ ...valid, n: 65, prompt: ['a', 'b'] }, 'n'],
    [{ ...valid, stop: '' }, 'stop'],
    [{ ...valid, stop: ['1', '2', '3', '4', '5'] }, 'stop'],
    [{ ...valid, stop: 'x'.repeat(257) }, 'stop'],
    [{ ...valid, stop: '\ud83d' }, 'stop'],
    [{ ...valid, ignore_eos: 1 }, 'ignore_eos'],
    [{ ...valid, typical_p: 1.1 }, 'typical_p'],
    [{ ...valid, repetition_penalty: 0 }, 'repetition_penalty'],
    [{ ...valid, repetition_penalty: 5e-324 }, 'repetition_penalty'],
    [{ ...valid, frequency_penalty: 2.1 }, 'frequency_penalty'],
    [{ ...valid, presence_penalty: '1' }, 'presence_penalty'],
    [{ ...valid, logit_bias: { 5: 101 } }, 'logit_bias.5'],
    [{ ...valid, logit_bias: { fox: 1 } }, 'logit_bias.fox'],
    [{ ...valid, logit_bias: { 4096: 1 } }, 'logit_bias'],
    [{ ...valid, logprobs: 21 }, 'logprobs'],
    [{ ...valid, logprobs: true }, 'logprobs'],
    [{ ...valid, best_of: 1, n: 2 }, 'best_of'],
    [{ ...valid, best_of: 2, stream: true }, 'best_of'],
    [{ ...valid, best_of: 100, prompt: ['a', 'b'] }, 'n'],
    [{ ...valid, suffix: 5 }, 'suffix'],
    [{ ...valid, min_tokens: 17 }, 'min_tokens'],
    [{ ...valid, stop_token_ids: [4096] }, 'stop_token_ids'],
    [{ ...valid, stop_token_ids: 5 }, 'stop_token_ids'],
    [{ ...valid, include_stop_str_in_output: 'no' }, 'include_stop_str_in_output'],
    [{ ...valid, skip_special_tokens: 0 }, 'skip_special_tokens'],
    [{ ...valid, stream: 'yes' }, 'stream'],
    [{ ...valid, stream_options: { include_usage: true } }, 'stream_options'],
  ])('%j: 400 names the field', async (body, param) => {
    const { post, engine } = await startGateway(() => () => [5]);
    const error = await errorOf(await post(path, body));
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error', param, code: 'invalid_value' });
    expect(error.message).toContain(`${param}: `);
    expect(engine.calls).toHaveLength(0);
  });

  it.each([
    [path, { logprobs: 1, echo: true, suffix: 'x' }],
    ['/v1/chat/completions', { functions: [{ name: 'f' }] }],
    ['/v1/chat/completions', { modalities: ['text', 'audio'] }],
    ['/v1/chat/completions', { audio: { voice: 'x' } }],
    ['/v1/chat/completions', { prediction: { type: 'content', content: 'x' } }],
    ['/v1/chat/completions', { web_search_options: {} }],
  ])('%s %j: 400 rather than ignored', async (path, fields) => {
    const { post, engine } = await startGateway(() => () => [5]);
    const [param] = Object.keys(fields);
    const body = { model: 'tales', prompt: 'x', messages: [{ role: 'user', content: 'x' }], ...fields };
    const error = await errorOf(await post(path, body));
    expect(error).toMatchObject({ status: 400, param, code: 'unsupported_parameter' });
    expect(engine.calls).toHaveLength(0);
  });

  it.each([
    [{ top_logprobs: 3 }, 'top_logprobs'],
    [{ logprobs: true, top_logprobs: 21 }, 'top_logprobs'],
    [{ logprobs: 5 }, 'logprobs'],
    [{ min_tokens: 3, max_tokens: 2 }, 'min_tokens'],
  ])('%j in a chat: 400 names the field', async (fields, param) => {
    const { post, engine } = await startGateway(() => () => [5]);
    const body = { model: 'tales', messages: [{ role: 'user', content: 'x' }], ...fields };
    const error = await errorOf(await post('/v1/chat/completions', body));
    expect(error).toMatchObject({ status: 400, param, code: 'invalid_value' });
    expect(engine.calls).toHaveLength(0);
  });

  it('pass where they ask for nothing, and with fields nobody knows', async () => {
    const { post } = await startGateway(() => () => [5]);
    const nothing = { presence_penalty: 0, frequency_penalty: 0, logit_bias: {}, user: 'me', made_up: [1] };
    const completion = { ...valid, ...nothing, best_of: 1, suffix: null, logprobs: null };
    expect((await post(path, completion)).status).toBe(200);
    const chat = {
      model: 'tales',
      messages: [{ role: 'user', content: 'x' }],
      ...nothing,
      tools: [],
      tool_choice: 'auto',
      response_format: { type: 'text' },
      logprobs: false,
      modalities: ['text'],
    };
    expect((await post('/v1/chat/completions', chat)).status).toBe(200);
  });

  it.each(['{"model": ', '', '[]', 'null', '"x"'])('a body of %j: 400', async (body) => {
    const { post } = await startGateway(() => () => [5]);
    expect(await errorOf(await post(path, body))).toMatchObject({
      status: 400,
      code: 'invalid_json',
      param: null,
    });
  });

  it('a body over the limit: 413, announced or not', async () => {
    const { post, server } = await startGateway(() => () => [5], { maxBodyBytes: 1000 });
    const large = JSON.stringify({ ...valid, prompt: 'x'.repeat(1000) });
    const expected = { status: 413, type: 'invalid_request_error', code: 'request_too_large' };
    expect(await errorOf(await post(path, large))).toMatchObject(expected);
    const body = new Blob([large]).stream(); // chunked: no content-length
    const response = await fetch(server.url + path, { method: 'POST', body, duplex: 'half' } as RequestInit);
    expect(await errorOf(response)).toMatchObject(expected);
    const fits = JSON.stringify({ ...valid, prompt: 'x'.repeat(900) });
    expect((await post(path, fits)).status).not.toBe(413);
  });

  it('unknown addresses: 404, known ones with the wrong method: 405', async () => {
    const { server } = await startGateway(() => () => [5]);
    expect(await errorOf(await fetch(`${server.url}/v1/nothing`))).toMatchObject({
      status: 404,
      code: 'unknown_url',
    });
    const wrong = await fetch(server.url + path);
    expect(wrong.headers.get('allow')).toBe('POST');
    expect(await errorOf(wrong)).toMatchObject({ status: 405, code: 'method_not_allowed' });
    const models = await fetch(`${server.url}/v1/models`, { method: 'DELETE' });
    expect(models.headers.get('allow')).toBe('GET');
    expect(await errorOf(models)).toMatchObject({ status: 405 });
  });
});

describe("OpenAI's client", () => {
  it('sees a BadRequestError for a prompt beyond the context', async () => {
    const { client } = await startGateway(() => () => [5], { contextLength: 8 });
    for (const prompt of [
      'one two three four five six seven eight',
      'word '.repeat(10_000),
      Array(8).fill(5),
    ]) {
      const request = client.completions.create({ model: 'tales', prompt });
      await expect(request).rejects.toThrow(BadRequestError);
      await expect(request).rejects.toMatchObject({ code: 'context_length_exceeded', param: 'prompt' });
    }
    await client.completions.create({ model: 'tales', prompt: Array(7).fill(5) });
  });

  it('sees a NotFoundError for another model', async () => {
    const { client, engine } = await startGateway(() => () => [5]);
    const request = client.completions.create({ model: 'gpt-4', prompt: 'x' });
    await expect(request).rejects.toThrow(NotFoundError);
    await expect(request).rejects.toMatchObject({ code: 'model_not_found', param: 'model' });
    await expect(client.models.retrieve('gpt-4')).rejects.toThrow(NotFoundError);
    expect(engine.calls).toHaveLength(0);
  });

  it('sees an InternalServerError where the model fails', async () => {
    const errors: unknown[] = [];
    const { client, engine } = await startGateway(() => () => undefined, {
      onError: (error) => errors.push(error),
    });
    const request = client.completions.create({ model: 'tales', prompt: 'x' });
    const failure = new EngineError('The model failed: it broke.');
    (await engine.nextCall()).fail(failure);
    await expect(request).rejects.toThrow(InternalServerError);
    await expect(request).rejects.toThrow('500 The model failed: it broke. Send the request again.');
    await expect(request).rejects.toMatchObject({ status: 500, code: 'engine_error', type: 'server_error' });
    expect(errors).toEqual([failure]);
  });

  it('learns nothing of the inside from an unforeseen error', async () => {
    const errors: unknown[] = [];
    const { client, engine } = await startGateway(() => () => undefined, {
      onError: (error) => errors.push(error),
    });
    const request = client.completions.create({ model: 'tales', prompt: 'x' });
    const bug = new TypeError('secret.path is undefined');
    (await engine.nextCall()).fail(bug);
    await expect(request).rejects.toMatchObject({ status: 500, code: 'internal_error' });
    await expect(request).rejects.not.toThrow(/secret/);
    expect(errors).toEqual([bug]);
  });

  it('is turned away where too many are waiting, until some are done', async () => {
    const { client, engine } = await startGateway(() => () => undefined, { maxCompletions: 2 });
    const ask = () => client.completions.create({ model: 'tales', prompt: 'x' });
    const waiting = [ask(), ask()];
    const calls = [await engine.nextCall(), await engine.nextCall()];
    await expect(ask()).rejects.toMatchObject({ status: 429, code: 'overloaded' });
    for (const call of calls) call.finish('stop');
    await Promise.all(waiting);
    const next = ask();
    (await engine.nextCall()).finish('stop');
    await next;
  });

  it('is turned away by the completions it asks for, unless it comes alone', async () => {
    const { client, engine } = await startGateway(() => () => undefined, { maxCompletions: 4 });
    const ask = (n: number, prompt: string[] = ['x']) =>
      client.completions.create({ model: 'tales', prompt, n });
    const finish = async (calls: number) => {
      while (calls-- > 0) (await engine.nextCall()).finish('stop');
    };
    const first = ask(3);
    await expect.poll(() => engine.calls.length).toBe(3);
    await expect(ask(2)).rejects.toMatchObject({ status: 429, code: 'overloaded' });
    await expect(ask(1, ['x', 'y'])).rejects.toMatchObject({ status: 429 });
    const second = ask(1);
    await finish(4);
    await Promise.all([first, second]);
    const large = ask(8);
    await finish(8);
    expect((await large).choices).toHaveLength(8);
  });

  it('lists the model', async () => {
    const { client } = await startGateway(() => () => [5]);
    const models = await client.models.list();
    expect(models.data).toEqual([
      { id: 'tales', object: 'model', created: expect.any(Number), owned_by: 'foldgate' },
    ]);
    expect(await client.models.retrieve('tales')).toMatchObject(models.data[0]!);
  });
});
