import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';

const body = { model: 'tales', prompt: 'x', max_tokens: 100 };

describe('a closed connection stops its generation', () => {
  it('streamed, by the client', async () => {
    const { client, engine, tokens } = await startGateway(() => () => undefined);
    const request = client.completions.create({ ...body, stream: true });
    const call = await engine.nextCall();
    call.emit(...tokens(' a'));
    const stream = await request;
    for await (const _ of stream) break; // leaving the loop closes the connection
    expect(await call.ended).toEqual({ early: true });
  });

  it('not streamed, by the client', async () => {
    const { client, engine } = await startGateway(() => () => undefined);
    const abort = new AbortController();
    const request = client.completions.create(body, { signal: abort.signal });
    const call = await engine.nextCall();
    abort.abort();
    await expect(request).rejects.toThrow(/abort/i);
    expect(await call.ended).toEqual({ early: true });
  });

  it('all n of them', async () => {
    const { client, engine } = await startGateway(() => () => undefined);
    const abort = new AbortController();
    const request = client.completions.create({ ...body, n: 3, stream: true }, { signal: abort.signal });
    const calls = [await engine.nextCall(), await engine.nextCall(), await engine.nextCall()];
    abort.abort();
    await expect(request).rejects.toThrow(/abort/i);
    for (const call of calls) expect(await call.ended).toEqual({ early: true });
  });

  it('a socket torn down without a word', async () => {
    const errors: unknown[] = [];
    const { server, engine, tokens } = await startGateway(() => () => undefined, {
      onError: (error) => errors.push(error),
    });
    const socket = connect(server.port, '127.0.0.1');
    const json = JSON.stringify({ ...body, stream: true });
    socket.write(`POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: ${json.length}\r\n\r\n${json}`);
    const call = await engine.nextCall();
    call.emit(...tokens(' a'));
    await once(socket, 'data');
    socket.resetAndDestroy();
    expect(await call.ended).toEqual({ early: true });
    expect(errors).toEqual([]); // a client that leaves is no fault of the server
    await expect.poll(() => server.running).toBe(0);
  });

  it('leaves the other requests alone', async () => {
    const { client, engine, tokens } = await startGateway(() => () => undefined);
    const abort = new AbortController();
    const left = client.completions.create(body, { signal: abort.signal });
    const leftCall = await engine.nextCall();
    const stays = client.completions.create(body);
    const staysCall = await engine.nextCall();
    abort.abort();
    await expect(left).rejects.toThrow(/abort/i);
    await leftCall.ended;
    staysCall.emit(...tokens(' fine'));
    staysCall.finish('stop');
    expect((await stays).choices[0]!.text).toBe(' fine');
  });
});
