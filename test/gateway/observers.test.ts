import { describe, expect, it } from 'vitest';
import { EngineError } from '../../functions/engine/engine.ts';
import { ApiKeys, hashKey } from '../../functions/gateway/access/api-keys.ts';
import type { RequestRecord } from '../../functions/gateway/observe/request-record.ts';
import { startGateway } from '../fixtures/gateway.ts';

const body = { model: 'tales', prompt: 'Once upon a time' };

/** A gateway whose requests' records the test sees. */
async function recorded(
  options: Parameters<typeof startGateway>[1] = {},
  script = (): number[] | undefined => undefined,
) {
  const records: RequestRecord[] = [];
  const gateway = await startGateway(() => script, {
    ...options,
    observers: [{ end: (record) => records.push(record) }],
  });
  return { ...gateway, records };
}

describe('the record of a request', () => {
  it('comes when a stream is over, not when its head is sent', async () => {
    const { client, engine, records, tokens } = await recorded();
    const streaming = client.completions.create({ ...body, stream: true });
    const call = await engine.nextCall();
    call.emit(...tokens(' a b'));
    const stream = await streaming;
    expect(records).toEqual([]);
    call.finish('length');
    for await (const _ of stream);
    expect(records).toMatchObject([
      {
        method: 'POST',
        route: '/v1/completions',
        status: 200,
        caller: '',
        error: undefined,
        generation: {
          model: 'tales',
          operation: 'text_completion',
          stream: true,
          completionTokens: 2,
          completions: [{ finish: 'length', tokens: 2, timings: { queue: 1, prefill: 2, decode: 3 } }],
        },
      },
    ]);
    expect(records[0]!.requestId).toMatch(/^[\w-]{8,}$/);
  });

  it('comes once, whichever way a request fails', async () => {
    const { client, engine, records, tokens, post } = await recorded({ maxCompletions: 1 });
    await post('/v1/completions', '{');
    const whole = client.completions.create(body);
    await expect.poll(() => engine.calls.length).toBe(1);
    await expect(client.completions.create(body)).rejects.toMatchObject({ code: 'overloaded' });
    (await engine.nextCall()).fail(new EngineError('It broke.'));
    await expect(whole).rejects.toThrow();
    (await engine.nextCall()).finish('stop'); // the service looks whether the model still lives
    const streaming = client.completions.create({ ...body, stream: true });
    const call = await engine.nextCall();
    call.emit(...tokens(' a'));
    const reading = (async () => {
      for await (const _ of await streaming);
    })();
    call.fail(new EngineError('It broke later.'));
    await expect(reading).rejects.toThrow();
    expect(records.map(({ status, error }) => [status, error])).toEqual([
      [400, 'invalid_json'],
      [429, 'overloaded'],
      [500, 'engine_error'],
      [200, 'engine_error'],
    ]);
  });

  it('says that the client left', async () => {
    const { client, engine, records, tokens } = await recorded();
    const abort = new AbortController();
    const streaming = client.completions.create({ ...body, stream: true }, { signal: abort.signal });
    const call = await engine.nextCall();
    call.emit(...tokens(' a'));
    const reader = (await streaming)[Symbol.asyncIterator]();
    await reader.next();
    abort.abort();
    await expect.poll(() => records.length).toBe(1);
    expect(records[0]).toMatchObject({
      status: 499,
      error: 'cancelled',
      generation: { completionTokens: 1, completions: [] },
    });
  });

  it('names the key, and never holds it', async () => {
    const keys = new ApiKeys([{ name: 'alice', hash: hashKey('fg-secret') }]);
    const { server, records } = await recorded({ keys }, () => [5]);
    const ask = (key: string) =>
      fetch(`${server.url}/v1/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}` },
        body: JSON.stringify(body),
      });
    await (await ask('fg-secret')).text();
    await (await ask('fg-wrong')).text();
    expect(records.map(({ caller, error }) => [caller, error])).toEqual([
      ['alice', undefined],
      ['', 'invalid_api_key'],
    ]);
    expect(JSON.stringify(records)).not.toMatch(/fg-/);
  });

  it('holds no text, unless the server was told to', async () => {
    const secret = await recorded({}, () => [5]);
    await secret.post('/v1/completions', body);
    expect(JSON.stringify(secret.records)).not.toContain('Once upon');
    const open = await recorded({ observeTexts: true }, () => [5, 6]);
    const answer = await open.client.completions.create(body);
    expect(open.records[0]!.texts).toEqual({ asked: body.prompt, answered: [answer.choices[0]!.text] });
    const messages = [{ role: 'user' as const, content: 'Hello' }];
    await open.client.chat.completions.create({ model: 'tales', messages });
    expect(open.records[1]!.texts!.asked).toEqual(messages);
    expect(open.records[1]!.generation!.operation).toBe('chat');
  });
});
