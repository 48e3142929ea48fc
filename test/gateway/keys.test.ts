import OpenAI, { AuthenticationError } from 'openai';
import { describe, expect, it } from 'vitest';
import { ApiKeys, hashKey, newKey } from '../../functions/gateway/access/api-keys.ts';
import { startGateway } from '../fixtures/gateway.ts';

/** A gateway that asks for a key, and clients that have one. */
async function guarded() {
  const [alice, bob] = [newKey(), newKey()];
  const entries = [
    { name: 'alice', hash: hashKey(alice) },
    { name: 'bob', hash: hashKey(bob) },
  ];
  const keys = new ApiKeys(entries);
  const gateway = await startGateway(() => () => [5], { keys });
  const as = (apiKey: string) => new OpenAI({ baseURL: `${gateway.server.url}/v1`, apiKey, maxRetries: 0 });
  return { ...gateway, keys, entries, alice, bob, as };
}

const body = { model: 'tales', prompt: 'x' };

describe('API keys', () => {
  it('let their owners in', async () => {
    const { as, alice, bob } = await guarded();
    for (const key of [alice, bob]) {
      expect((await as(key).completions.create(body)).choices).toHaveLength(1);
      expect((await as(key).models.list()).data).toHaveLength(1);
    }
  });

  it('are an AuthenticationError where they are wrong', async () => {
    const { as, alice, engine } = await guarded();
    for (const key of ['wrong', alice.slice(0, -1), `${alice}x`, hashKey(alice)]) {
      const request = as(key).completions.create(body);
      await expect(request).rejects.toThrow(AuthenticationError);
      await expect(request).rejects.toMatchObject({
        status: 401,
        code: 'invalid_api_key',
        type: 'invalid_request_error',
      });
    }
    expect(engine.calls).toHaveLength(0);
  });

  it('are asked for before anything else is looked at', async () => {
    const { post, server } = await guarded();
    const answer = await post('/v1/completions', '{"broken');
    expect(answer.status).toBe(401);
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    expect(await answer.json()).toMatchObject({ error: { code: 'missing_api_key', param: null } });
    expect((await fetch(`${server.url}/v1/models/tales`)).status).toBe(401);
  });

  it('may come as x-api-key, as from the clients of Anthropic', async () => {
    const { server, bob } = await guarded();
    const ask = (headers: Record<string, string>) => fetch(`${server.url}/v1/models`, { headers });
    expect((await ask({ 'x-api-key': bob })).status).toBe(200);
    expect((await ask({ authorization: `bearer ${bob}` })).status).toBe(200);
    expect((await ask({ authorization: `Basic ${bob}` })).status).toBe(401);
    expect((await ask({ 'x-api-key': 'wrong' })).status).toBe(401);
  });

  it('are not asked of probes', async () => {
    const { server } = await guarded();
    for (const path of ['/healthz', '/readyz']) expect((await fetch(server.url + path)).status).toBe(200);
  });

  it('no longer work once they are removed', async () => {
    const { as, alice, bob, keys, entries } = await guarded();
    keys.replace(entries.filter(({ name }) => name === 'bob'));
    await expect(as(alice).models.list()).rejects.toThrow(AuthenticationError);
    await as(bob).models.list();
  });

  it('keep what was computed of their prompts apart', async () => {
    const { as, alice, bob, engine } = await guarded();
    const asked = [
      { key: alice },
      { key: bob },
      { key: alice },
      { key: alice, cache_salt: 'x' },
      { key: bob, cache_salt: 'x' },
    ];
    for (const { key, ...salt } of asked) await as(key).completions.create({ ...body, ...salt });
    const salts = engine.calls.map(({ request }) => request.cacheSalt);
    expect(salts[2]).toBe(salts[0]);
    expect(new Set(salts).size).toBe(4);
  });
});
