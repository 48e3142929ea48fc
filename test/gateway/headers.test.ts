import OpenAI, { BadRequestError } from 'openai';
import { describe, expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';

const valid = { model: 'tales', prompt: 'x' };

describe('x-request-id', () => {
  it("is the client's own, on answers, streams and errors", async () => {
    const { server } = await startGateway(() => () => [5]);
    const headers = { 'x-request-id': 'mine-1' };
    const ask = (path: string, init: RequestInit = {}) => fetch(server.url + path, { headers, ...init });
    const post = (body: object) => ask('/v1/completions', { method: 'POST', body: JSON.stringify(body) });
    const answers = [
      await post(valid),
      await post({ ...valid, stream: true }),
      await post({ ...valid, top_p: 7 }),
      await ask('/v1/completions'),
      await ask('/nothing'),
      await ask('/healthz'),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 400, 405, 404, 200]);
    for (const answer of answers) expect(answer.headers.get('x-request-id')).toBe('mine-1');
  });

  it('is a new one where the client has none, or one that could break a log', async () => {
    const { server } = await startGateway(() => () => [5]);
    const ids = new Set<string>();
    for (const given of [undefined, '', 'a b', 'x'.repeat(256), 'a"}{']) {
      const init = given === undefined ? {} : { headers: { 'x-request-id': given } };
      const id = (await fetch(`${server.url}/healthz`, init)).headers.get('x-request-id');
      expect(id).toMatch(/^[\w-]{8,64}$/);
      ids.add(id!);
    }
    expect(ids.size).toBe(5);
  });

  it("is where OpenAI's client looks for it", async () => {
    const { server } = await startGateway(() => () => [5]);
    const client = new OpenAI({
      baseURL: `${server.url}/v1`,
      apiKey: 'any',
      defaultHeaders: { 'x-request-id': 'mine-2' },
    });
    expect((await client.completions.create(valid))._request_id).toBe('mine-2');
    const error = await client.completions.create({ ...valid, top_p: 7 }).catch((error) => error);
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error.requestID).toBe('mine-2');
  });
});

describe('server-timing', () => {
  it('has the phases of a whole answer, and of a stream what is over', async () => {
    const { post } = await startGateway(() => () => [5, 6]);
    const timing = async (body: object) => (await post('/v1/completions', body)).headers.get('server-timing');
    expect(await timing(valid)).toMatch(
      /^load;dur=\d+\.\d, queue;dur=1\.0, prefill;dur=2\.0, decode;dur=3\.0$/,
    );
    expect(await timing({ ...valid, stream: true })).toMatch(/^load;dur=\d+\.\d$/);
    // Two completions have two queue times.
    expect(await timing({ ...valid, n: 2 })).toMatch(/^load;dur=\d+\.\d$/);
  });
});

describe('POST /v1/embeddings', () => {
  it('is refused as such, not as an unknown address', async () => {
    const { client } = await startGateway(() => () => [5]);
    const request = client.embeddings.create({ model: 'tales', input: ['a', 'b'] });
    await expect(request).rejects.toThrow(BadRequestError);
    await expect(request).rejects.toMatchObject({ code: 'embeddings_not_supported', param: 'model' });
    await expect(client.embeddings.create({ model: 'gpt-4', input: 'a' })).rejects.toMatchObject({
      status: 404,
    });
    await expect(client.embeddings.create({ model: 'tales', input: 5 as never })).rejects.toMatchObject({
      param: 'input',
    });
  });
});
