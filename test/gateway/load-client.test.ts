import { describe, expect, it } from 'vitest';
import { EngineError } from '../../functions/engine/engine.ts';
import { watchingMemory } from '../../load/client/memory-watch.ts';
import { closedLoop, openLoop } from '../../load/client/open-loop.ts';
import { summarise } from '../../load/client/summary.ts';
import { findTarget } from '../../load/client/target.ts';
import type { Scenario } from '../../load/scenario/scenario.ts';
import { startGateway } from '../fixtures/gateway.ts';

const scenario: Scenario = {
  description: 'Three at once.',
  seed: 1,
  endpoint: 'completions',
  stream: true,
  arrivals: { process: 'constant', stages: [{ seconds: 0.03, perSecond: 100 }] },
  prompts: [{ name: 'short', share: 1, words: [5, 5], sharedWords: 0, maxTokens: 4 }],
  limits: { errorRate: 0 },
};

describe('the open-loop client', () => {
  it('sends what is due while nothing has been answered', async () => {
    const gateway = await startGateway(() => () => undefined);
    const running = openLoop(scenario, { url: gateway.server.url, model: 'tales' });
    // None of them is answered before the last one is there.
    const calls = [
      await gateway.engine.nextCall(),
      await gateway.engine.nextCall(),
      await gateway.engine.nextCall(),
    ];
    expect(new Set(calls.map(({ request }) => request.prompt.join())).size).toBe(3);
    for (const call of calls) {
      call.emit(...gateway.tokens(' once upon'));
      call.finish('length');
    }
    const { outcomes } = await running;
    expect(outcomes.map(({ error, tokens }) => ({ error, tokens }))).toEqual(
      Array(3).fill({ error: undefined, tokens: 2 }),
    );
    // The engine's own account: queue 1, prefill 2, decode 3.
    expect(outcomes[0]!.server).toEqual({ ttftMs: 3, interTokenMs: 3 });
  });

  it('counts the first token from when its request was due, and waits between pieces', async () => {
    const gateway = await startGateway(() => () => undefined);
    const one = {
      ...scenario,
      arrivals: { ...scenario.arrivals, stages: [{ seconds: 0.01, perSecond: 100 }] },
    };
    const running = openLoop(one, { url: gateway.server.url, model: 'tales' });
    const call = await gateway.engine.nextCall();
    for (const word of [' one', ' two', ' three']) {
      call.emit(...gateway.tokens(word));
      await new Promise((resolve) => setImmediate(resolve)); // each piece leaves with an event of its own
    }
    call.finish('length');
    const [outcome] = (await running).outcomes;
    expect(outcome!.gapsMs).toHaveLength(2);
    expect(outcome!.ttftMs).toBeGreaterThan(0);
    const waits = outcome!.gapsMs.reduce((sum, gap) => sum + gap, 0);
    expect(outcome!.latencyMs).toBeGreaterThanOrEqual(outcome!.ttftMs! + waits);
    expect(outcome!.interTokenMs).toBeCloseTo(waits / (outcome!.tokens - 1), 6);
  });

  it('counts what fails by what the server said, before the stream and within it', async () => {
    const gateway = await startGateway(() => () => undefined);
    const running = openLoop(scenario, { url: gateway.server.url, model: 'tales' });
    const [early, late, fine] = [
      await gateway.engine.nextCall(),
      await gateway.engine.nextCall(),
      await gateway.engine.nextCall(),
    ];
    early.fail(new EngineError('no'));
    late.emit(...gateway.tokens(' once'));
    late.fail(new EngineError('no more'));
    fine.emit(...gateway.tokens(' once'));
    fine.finish('length');
    const summary = summarise(await running);
    expect(summary).toMatchObject({ requests: 3 });
    expect(Object.values(summary.errors).reduce((sum, count) => sum + count, 0)).toBe(2);
    expect(Object.keys(summary.errors)).toContain('500 engine_error');
  });

  it('reads whole answers and chats too', async () => {
    const gateway = await startGateway((model) => () => model.tokens(' once upon a'));
    const chat: Scenario = { ...scenario, endpoint: 'chat', stream: false };
    const { outcomes } = await openLoop(chat, { url: gateway.server.url, model: 'tales' });
    expect(outcomes.map(({ error, tokens }) => ({ error, tokens }))).toEqual(
      Array(3).fill({ error: undefined, tokens: 3 }),
    );
    expect(outcomes[0]!.ttftMs).toBeUndefined();
  });
});

describe('the closed loop', () => {
  it('keeps so many requests running, and no more', async () => {
    const gateway = await startGateway(() => () => undefined);
    const target = { url: gateway.server.url, model: 'tales' };
    const running = closedLoop(scenario, target, { streams: 2, requests: 5 });
    let most = 0;
    for (let i = 0; i < 5; i++) {
      const call = await gateway.engine.nextCall();
      most = Math.max(most, gateway.server.running);
      // The second is there before the first may end.
      if (i === 0) continue;
      for (const each of i === 1 ? [gateway.engine.calls[0]!, call] : [call]) {
        each.emit(...gateway.tokens(' once'));
        each.finish('length');
      }
    }
    const { outcomes } = await running;
    expect(outcomes).toHaveLength(5);
    expect(most).toBe(2);
  });
});

describe('the target', () => {
  it('is the served model; a base model is known not to chat', async () => {
    const gateway = await startGateway((model) => () => model.tokens(' once'), { template: 'none' });
    await expect(findTarget({ url: gateway.server.url })).resolves.toMatchObject({
      target: { model: 'tales' },
      chats: false,
    });
  });

  it('that is not there is told of', async () => {
    const gateway = await startGateway(() => () => undefined);
    const { url } = gateway.server;
    await gateway.server.close(0);
    await expect(findTarget({ url })).rejects.toThrow(`${url} does not answer`);
  });
});

describe("the server's memory", () => {
  it('says why it is missing where the server does not tell it', async () => {
    const gateway = await startGateway(() => () => undefined);
    const url = `${gateway.server.url}/nothing`;
    const { memory } = await watchingMemory(url, async () => 'done');
    expect(memory.missing).toMatch(/no process_resident_memory_bytes .*404/);
  });
});
