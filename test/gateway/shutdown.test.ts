import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import { text as readAll } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FoldgateError } from '../../artifact/errors.ts';
import { registryOf } from '../../functions/gateway/model-registry.ts';
import { createModelService } from '../../functions/gateway/model-service.ts';
import { serve } from '../../functions/gateway/serve.ts';
import type { LoadedModel } from '../../functions/model/loaded-model.ts';
import { startGateway } from '../fixtures/gateway.ts';
import type { ScriptedCall } from '../fixtures/scripted-engine.ts';
import { textModel } from '../fixtures/text-model.ts';

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

  it('turns requests on kept connections away, and tells probes at once', async () => {
    const { server, engine } = await startGateway(() => () => undefined);
    const connections = [1, 2, 3].map(() => new Agent({ keepAlive: true, maxSockets: 1 }));
    onTestFinished(() => {
      for (const agent of connections) agent.destroy();
    });
    const send = async (agent: Agent, path: string, content?: object) => {
      const method = content ? 'POST' : 'GET';
      const sent = httpRequest(server.url + path, { agent, method });
      sent.end(content && JSON.stringify(content));
      const [answer] = (await once(sent, 'response')) as [IncomingMessage];
      return { answer, again: sent.reusedSocket };
    };
    const streams: { call: ScriptedCall; answer: IncomingMessage }[] = [];
    for (const agent of connections) {
      const streaming = send(agent, '/v1/completions', { ...body, stream: true });
      const call = await engine.nextCall();
      call.emit(5);
      streams.push({ call, answer: (await streaming).answer });
    }
    const closed = server.close();
    const finish = async (at: number) => {
      streams[at]!.call.finish('stop');
      await readAll(streams[at]!.answer);
    };
    await finish(0);
    await finish(1);
    const probe = await send(connections[0]!, '/readyz');
    const request = await send(connections[1]!, '/v1/completions', body);
    for (const { answer, again } of [probe, request]) {
      expect(again).toBe(true);
      expect(answer.statusCode).toBe(503);
      expect(answer.headers.connection).toBe('close');
      expect(await readAll(answer)).toContain('shutting down');
    }
    await finish(2);
    await closed;
  });

  it('keeps nobody who waits for the model waiting', async () => {
    const load = Promise.withResolvers<LoadedModel>();
    const service = createModelService({ name: 'tales', load: () => load.promise });
    const server = await serve(registryOf(service), { port: 0, host: '127.0.0.1' });
    const answer = fetch(`${server.url}/v1/completions`, { method: 'POST', body: JSON.stringify(body) });
    await expect.poll(() => server.running).toBe(1);
    const closed = server.close();
    expect((await answer).status).toBe(503);
    load.resolve((await textModel(() => [])).model);
    await closed;
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

describe('a server that may not listen', () => {
  const service = createModelService({ name: 'tales', load: () => Promise.reject(new Error('never asked')) });

  it('says that the port is taken, and what to do', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    onTestFinished(() => void other.close());
    const { port } = other.address() as { port: number };
    const listening = serve(registryOf(service), { port, host: '127.0.0.1' });
    await expect(listening).rejects.toThrow(FoldgateError);
    await expect(listening).rejects.toThrow(new RegExp(`${port}.*taken.*--port`));
  });

  it('says that the address is not of this machine', async () => {
    const listening = serve(registryOf(service), { port: 0, host: '192.0.2.1' }); // of documentation's network
    await expect(listening).rejects.toThrow(FoldgateError);
    await expect(listening).rejects.toThrow(/192\.0\.2\.1.*--host/);
  });
});
