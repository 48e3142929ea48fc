import { describe, expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';

const body = { model: 'tales', prompt: 'x' };

describe('closing the server', () => {
  it('lets running requests end, takes no new ones, then closes the model', async () => {
    const { client, server, engine, tokens } = await startGateway(() => () => undefined);
    const request = client.completions.create(body);
    const call = await engine.nextCall();
    expect(server.running).toBe(1);
    const closed = server.close();
    await expect(fetch(`${server.url}/healthz`)).rejects.toThrow();
    expect(engine.disposed).toBe(false);
    call.emit(...tokens(' done'));
    call.finish('stop');
    expect((await request).choices[0]!.text).toBe(' done');
    await closed;
    expect(engine.disposed).toBe(true);
    expect(server.running).toBe(0);
  });

  it('stops what still runs at the deadline, and says so', async () => {
    const { client, server, engine, tokens } = await startGateway(() => () => undefined);
    const streaming = client.completions.create({ ...body, stream: true });
    const streamed = await engine.nextCall();
    streamed.emit(...tokens(' a'));
    const chunks = (await streaming)[Symbol.asyncIterator]();
    await chunks.next();
    const whole = client.completions.create(body);
    const wholeCall = await engine.nextCall();
    const closed = server.close(0);
    await expect(chunks.next()).rejects.toThrow(/shutting down/);
    await expect(whole).rejects.toMatchObject({ status: 503, code: 'model_unavailable' });
    expect(await streamed.ended).toEqual({ early: true });
    expect(await wholeCall.ended).toEqual({ early: true });
    await closed;
  });
});
