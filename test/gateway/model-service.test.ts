import { describe, expect, it } from 'vitest';
import { createApp } from '../../functions/gateway/app.ts';
import { NoRoomError } from '../../functions/gateway/memory-budget.ts';
import { registryOf } from '../../functions/gateway/model-registry.ts';
import { createModelService } from '../../functions/gateway/model-service.ts';
import type { LoadedModel } from '../../functions/model/loaded-model.ts';
import { type TextModel, textModel } from '../fixtures/text-model.ts';

/** A service whose loads the test ends by hand. */
function byHand({ noRoom = false } = {}) {
  const loads: PromiseWithResolvers<LoadedModel>[] = [];
  const failures: Error[] = [];
  const unloaded: LoadedModel[] = [];
  const service = createModelService({
    name: 'tales',
    load(_signal, beside) {
      if (beside && noRoom) throw new NoRoomError('no room');
      const load = Promise.withResolvers<LoadedModel>();
      loads.push(load);
      return load.promise;
    },
    onFailure: (error) => failures.push(error),
    onUnload: (model) => unloaded.push(model),
  });
  const { app } = createApp(registryOf(service));
  const complete = () =>
    app.request('/v1/completions', { method: 'POST', body: JSON.stringify({ model: 'tales', prompt: 'x' }) });
  return { service, loads, failures, unloaded, app, complete };
}

const answering = (): Promise<TextModel> =>
  textModel((request) => (request.prompt.includes(13) ? undefined : [5]));

describe('the model service', () => {
  it('loads once, however many ask first', async () => {
    const { loads, complete, app } = byHand();
    const answers = [complete(), complete(), complete()];
    const { model } = await answering();
    const probe = await app.request('/readyz');
    expect(probe.status).toBe(503);
    expect(await probe.json()).toEqual({ status: 'loading' });
    expect((await app.request('/healthz')).status).toBe(200);
    loads[0]!.resolve(model);
    expect((await Promise.all(answers)).map((answer) => answer.status)).toEqual([200, 200, 200]);
    expect(loads).toHaveLength(1);
    expect((await app.request('/readyz')).status).toBe(200);
  });

  it('counts requests that wait for the load, and stops waiting for clients that left', async () => {
    const { service, loads } = byHand();
    const { app, inFlight } = createApp(registryOf(service), { maxCompletions: 1 });
    const left = new AbortController();
    const ask = (signal?: AbortSignal) =>
      app.request('/v1/completions', {
        method: 'POST',
        body: JSON.stringify({ model: 'tales', prompt: 'x' }),
        ...(signal && { signal }),
      });
    const first = ask(left.signal);
    await expect.poll(() => inFlight.size).toBe(1);
    expect((await ask()).status).toBe(429);
    left.abort();
    const { model, engine } = await answering();
    loads[0]!.resolve(model);
    await first;
    expect(engine.calls).toHaveLength(0);
    expect((await ask()).status).toBe(200);
    expect(inFlight.size).toBe(0);
  });

  it('tries again after a failed load', async () => {
    const { loads, complete, app, failures } = byHand();
    const first = complete();
    await expect.poll(() => loads.length).toBe(1);
    loads[0]!.reject(new Error('/srv/secret: The store is away.'));
    const answer = await first;
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({
      error: {
        type: 'server_error',
        code: 'model_unavailable',
        message: "Model tales could not be loaded; the server's log says why.",
      },
    });
    // Paths of the inside are for the log alone.
    expect(failures.map(({ message }) => message)).toEqual(['/srv/secret: The store is away.']);
    const second = complete();
    await expect.poll(() => loads.length).toBe(2);
    loads[1]!.resolve((await answering()).model);
    expect((await second).status).toBe(200);
    expect((await app.request('/readyz')).status).toBe(200);
  });

  it('says why it is not ready, and lets the probe try again', async () => {
    const { service, loads, app } = byHand();
    const load = service.load();
    const failure = new Error('The store is away.');
    loads[0]!.reject(failure);
    await expect(load).rejects.toMatchObject({ cause: failure });
    const probe = await app.request('/readyz');
    expect(probe.status).toBe(503);
    expect(await probe.json()).toEqual({
      status: 'failed',
      reason: "Model tales could not be loaded; the server's log says why.",
    });
    expect(loads).toHaveLength(2); // by the probe
    expect(await (await app.request('/readyz')).json()).toEqual({ status: 'loading' });
    loads[1]!.resolve((await answering()).model);
    await service.load();
    expect((await app.request('/readyz')).status).toBe(200);
  });

  it('keeps a model that failed one request and can still generate', async () => {
    const { service, loads } = byHand();
    const { model, engine } = await answering();
    const load = service.load();
    loads[0]!.resolve(model);
    await service.reportFailure(await load, new Error('One bad step.'));
    expect(service.state).toEqual({ state: 'ready' });
    expect(engine.disposed).toBe(false);
    expect(loads).toHaveLength(1);
  });

  it('replaces a model that can generate no more, once', async () => {
    const { service, loads, failures } = byHand();
    const dead = await textModel(() => {
      throw new Error('The thread is gone.');
    });
    const load = service.load();
    loads[0]!.resolve(dead.model);
    const model = await load;
    const failure = new Error('The thread is gone.');
    await Promise.all([service.reportFailure(model, failure), service.reportFailure(model, failure)]);
    expect(failures).toEqual([failure]);
    expect(dead.engine.disposed).toBe(true);
    expect(loads).toHaveLength(2);
    const next = await answering();
    loads[1]!.resolve(next.model);
    expect(await service.load()).toBe(next.model);
  });

  it('disposes of a model that arrives after the close', async () => {
    const { service, loads } = byHand();
    const load = service.load();
    const closed = service[Symbol.asyncDispose]();
    const { model, engine } = await answering();
    loads[0]!.resolve(model);
    await expect(load).rejects.toThrow(/shutting down/);
    await closed;
    expect(engine.disposed).toBe(true);
    await expect(service.load()).rejects.toThrow(/shutting down/);
    expect(service.state.state).toBe('closed');
  });
});

/** A service with its first model loaded. */
async function loaded(options = {}) {
  const hand = byHand(options);
  const first = await answering();
  const load = hand.service.load();
  hand.loads[0]!.resolve(first.model);
  await load;
  return { ...hand, first };
}

const never = new AbortController().signal;

describe('a new version', () => {
  it('is loaded beside the old one, which ends with its last request', async () => {
    const { service, loads, first, unloaded } = await loaded();
    const before = await service.borrow(never);
    const renewal = service.renew();
    expect((await service.borrow(never)).model).toBe(first.model); // requests go on while it loads
    const next = await answering();
    loads[1]!.resolve(next.model);
    await renewal;
    const after = await service.borrow(never);
    expect(after.model).toBe(next.model);
    expect(first.engine.disposed).toBe(false);
    before.end();
    before.end(); // counts once
    expect(first.engine.disposed).toBe(false); // the other request still has it
    expect(service.users).toBe(2);
    expect(unloaded).toEqual([]);
  });

  it('that does not load leaves the old one as it is', async () => {
    const { service, loads, first } = await loaded();
    const renewal = service.renew();
    loads[1]!.reject(new Error('The blob is damaged.'));
    await expect(renewal).rejects.toThrow('The blob is damaged.');
    expect((await service.borrow(never)).model).toBe(first.model);
    expect(service.state).toEqual({ state: 'ready' });
    expect(service.answers).toBe(true);
  });

  it('without room beside the old one comes when the old one has no more requests; new ones wait', async () => {
    const { service, loads, first, unloaded } = await loaded({ noRoom: true });
    const before = await service.borrow(never);
    const renewal = service.renew();
    const waiting = service.borrow(never);
    await new Promise(setImmediate);
    expect(loads).toHaveLength(1);
    expect(first.engine.disposed).toBe(false);
    before.end();
    await expect.poll(() => loads.length).toBe(2);
    expect(unloaded).toEqual([first.model]);
    const next = await answering();
    loads[1]!.resolve(next.model);
    await renewal;
    expect((await waiting).model).toBe(next.model);
  });

  it('arriving after the close is disposed of, the old one too', async () => {
    const { service, loads, first } = await loaded();
    const renewal = service.renew();
    await service[Symbol.asyncDispose]();
    expect(first.engine.disposed).toBe(true);
    const next = await answering();
    loads[1]!.resolve(next.model);
    await expect(renewal).rejects.toThrow(/shutting down/);
    expect(next.engine.disposed).toBe(true);
  });
});

describe('unloading', () => {
  it('spares a model that a request has, or waits for', async () => {
    const { service, loads, first } = await loaded();
    const loan = await service.borrow(never);
    expect(await service.unload()).toBe(false);
    loan.end();
    expect(await service.unload()).toBe(true);
    expect(first.engine.disposed).toBe(true);
    expect(service.state).toEqual({ state: 'evicted' });
    const waiting = service.borrow(never);
    expect(await service.unload()).toBe(false);
    const next = await answering();
    loads[1]!.resolve(next.model);
    expect((await waiting).model).toBe(next.model);
  });

  it('keeps the server ready: the model comes back with the next request', async () => {
    const { service, loads, app, complete } = await loaded();
    await service.unload();
    expect((await app.request('/readyz')).status).toBe(200);
    expect(loads).toHaveLength(1); // a probe is no request
    const answer = complete();
    await expect.poll(() => loads.length).toBe(2);
    expect((await app.request('/readyz')).status).toBe(200);
    loads[1]!.resolve((await answering()).model);
    expect((await answer).status).toBe(200);
    expect(service.users).toBe(0);
  });

  it('forgets requests that leave while they wait', async () => {
    const { service, loads } = byHand();
    const left = new AbortController();
    const waiting = service.borrow(left.signal);
    left.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    expect(service.users).toBe(0);
    loads[0]!.resolve((await answering()).model);
    await service.load();
    expect(await service.unload()).toBe(true);
  });
});
