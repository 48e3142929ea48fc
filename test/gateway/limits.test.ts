import OpenAI, { BadRequestError, InternalServerError, RateLimitError } from 'openai';
import { describe, expect, it } from 'vitest';
import { ApiKeys, hashKey } from '../../functions/gateway/access/api-keys.ts';
import { memoryCounter } from '../../functions/gateway/access/rate-counter.ts';
import { RateLimits } from '../../functions/gateway/access/rate-limits.ts';
import { startGateway } from '../fixtures/gateway.ts';

const body = { model: 'tales', prompt: 'x' };

function limitsOf(limits: { requestsPerMinute?: number; tokensPerMinute?: number }) {
  return new RateLimits({ requests: memoryCounter('requests'), tokens: memoryCounter('tokens'), ...limits });
}

/** The headers that tell of limits. */
function told(response: Response): Record<string, string> {
  const found = [...response.headers].filter(([name]) => /ratelimit|retry-after/.test(name));
  return Object.fromEntries(found);
}

describe('requests per minute', () => {
  it('end in a RateLimitError that says when to come again', async () => {
    const { client, post } = await startGateway(() => () => [5], {
      limits: limitsOf({ requestsPerMinute: 2 }),
    });
    const first = await post('/v1/completions', body);
    expect(told(first)).toMatchObject({
      'x-ratelimit-limit-requests': '2',
      'x-ratelimit-remaining-requests': '1',
      'x-ratelimit-reset-requests': expect.stringMatching(/^\d+\.\d{3}s$/),
    });
    await client.completions.create(body);
    const refused = client.completions.create(body);
    await expect(refused).rejects.toThrow(RateLimitError);
    await expect(refused).rejects.toMatchObject({ code: 'rate_limit_exceeded', type: 'requests' });
    const { status, headers } = await post('/v1/completions', body);
    expect(status).toBe(429);
    const seconds = Number(headers.get('retry-after'));
    expect(seconds).toBeGreaterThan(50);
    expect(seconds).toBeLessThanOrEqual(60);
    expect(headers.get('x-ratelimit-remaining-requests')).toBe('0');
    // Looking at the models costs nothing.
    expect((await client.models.list()).data).toHaveLength(1);
  });

  it("are each key's own, and some keys have a limit of their own", async () => {
    const keys = new ApiKeys([
      { name: 'many', hash: hashKey('many'), requestsPerMinute: 3 },
      { name: 'few', hash: hashKey('few') },
    ]);
    const options = { keys, limits: limitsOf({ requestsPerMinute: 1 }) };
    const { server } = await startGateway(() => () => [5], options);
    const ask = (apiKey: string) =>
      new OpenAI({ baseURL: `${server.url}/v1`, apiKey, maxRetries: 0 }).completions.create(body);
    await ask('few');
    await expect(ask('few')).rejects.toThrow(RateLimitError);
    for (let time = 0; time < 3; time++) await ask('many');
    await expect(ask('many')).rejects.toThrow(RateLimitError);
  });
});

describe('tokens per minute', () => {
  it('count prompts before and completions after they were made', async () => {
    const limits = limitsOf({ tokensPerMinute: 12 });
    const { post, engine } = await startGateway(() => () => [5, 6, 7, 8], { limits });
    const ask = (tokens: number) =>
      post('/v1/completions', { model: 'tales', prompt: Array(tokens).fill(9) });
    const remaining = async (answer: Response) => {
      await answer.text();
      return answer.headers.get('x-ratelimit-remaining-tokens');
    };
    expect(await remaining(await ask(4))).toBe('8'); // and 4 were made
    expect(await remaining(await ask(2))).toBe('2'); // and 4 were made: 2 more than are left
    const refused = await ask(1);
    expect(refused.status).toBe(429);
    expect(await refused.json()).toMatchObject({ error: { type: 'tokens', code: 'rate_limit_exceeded' } });
    expect(engine.calls).toHaveLength(2);
  });

  it('are not used up by what was refused', async () => {
    const { post } = await startGateway(() => () => [], { limits: limitsOf({ tokensPerMinute: 8 }) });
    const ask = (tokens: number) =>
      post('/v1/completions', { model: 'tales', prompt: Array(tokens).fill(9) });
    const large = await ask(9);
    expect(large.status).toBe(429);
    expect(await large.json()).toMatchObject({
      error: { message: expect.stringContaining('prompt alone has 9') },
    });
    expect((await ask(8)).status).toBe(200);
  });

  it('count what a stream made, also where its reader left', async () => {
    const limits = limitsOf({ tokensPerMinute: 10 });
    const { client, engine, tokens } = await startGateway(() => () => undefined, { limits });
    const abort = new AbortController();
    const streaming = client.completions.create({ ...body, stream: true }, { signal: abort.signal });
    const call = await engine.nextCall();
    call.emit(...tokens(' a b c d e f g h i j'));
    const reader = (await streaming)[Symbol.asyncIterator]();
    await reader.next();
    abort.abort();
    await call.ended;
    await expect(client.completions.create(body)).rejects.toThrow(RateLimitError);
  });
});

describe('other limits', () => {
  it('a prompt may have so many tokens', async () => {
    const { client, engine } = await startGateway(() => () => [5], { maxPromptTokens: 3 });
    await client.completions.create({ model: 'tales', prompt: [9, 9, 9] });
    const long = client.completions.create({ model: 'tales', prompt: [[9], [9, 9, 9, 9]] });
    await expect(long).rejects.toThrow(BadRequestError);
    await expect(long).rejects.toMatchObject({ code: 'prompt_too_long' });
    expect(engine.calls).toHaveLength(1);
  });

  it('a request is stopped when its time is up', async () => {
    const { client, engine, server } = await startGateway(() => () => undefined, { deadlineMs: 50 });
    const whole = client.completions.create(body);
    await expect(whole).rejects.toThrow(InternalServerError);
    await expect(whole).rejects.toMatchObject({ status: 504, code: 'deadline_exceeded' });
    const stream = client.completions.create({ ...body, stream: true });
    await engine.nextCall();
    const call = await engine.nextCall();
    call.emit(5);
    const read = async () => {
      for await (const _ of await stream);
    };
    await expect(read()).rejects.toThrow(/limit of time/);
    expect(await call.ended).toEqual({ early: true });
    expect(server.running).toBe(0);
  });

  it('each model has a queue of its own; who finds it full is told to come again', async () => {
    const { client, post, engine } = await startGateway(() => () => undefined, { maxCompletions: 1 });
    const first = client.completions.create(body);
    const call = await engine.nextCall();
    const refused = await post('/v1/completions', body);
    expect(refused.status).toBe(429);
    expect(told(refused)).toEqual({ 'retry-after': '1' });
    expect(await refused.json()).toMatchObject({ error: { code: 'overloaded' } });
    call.finish('stop');
    await first;
  });
});

describe('CORS', () => {
  const origin = 'https://play.example.org';
  const preflight = (url: string, from: string) =>
    fetch(`${url}/v1/completions`, {
      method: 'OPTIONS',
      headers: {
        origin: from,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type',
      },
    });

  it('lets pages of the given origins ask, before they have a key to show', async () => {
    const keys = new ApiKeys([{ name: 'a', hash: hashKey('a') }]);
    const { server } = await startGateway(() => () => [5], { corsOrigins: [origin], keys });
    const allowed = await preflight(server.url, origin);
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get('access-control-allow-origin')).toBe(origin);
    expect(allowed.headers.get('access-control-allow-headers')).toMatch(/authorization/);
    expect(
      (await preflight(server.url, 'https://evil.example')).headers.get('access-control-allow-origin'),
    ).toBeNull();
    // An error has to be readable too.
    const refused = await fetch(`${server.url}/v1/models`, { headers: { origin } });
    expect(refused.status).toBe(401);
    expect(refused.headers.get('access-control-allow-origin')).toBe(origin);
    expect(refused.headers.get('access-control-expose-headers')).toMatch(/retry-after/);
  });

  it('is off unless it is asked for', async () => {
    const { server } = await startGateway(() => () => [5]);
    const answer = await preflight(server.url, origin);
    expect(answer.headers.get('access-control-allow-origin')).toBeNull();
  });
});
