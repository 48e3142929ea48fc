import type OpenAI from 'openai';
import { afterEach, describe, expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';

let stop: (() => Promise<void>) | undefined;
afterEach(() => stop?.());

async function start(...args: Parameters<typeof startGateway>) {
  const gateway = await startGateway(...args);
  stop = gateway.close;
  return gateway;
}

describe('POST /v1/completions', () => {
  it('answers whole', async () => {
    const { client, tokens, engine } = await start((model) => () => model.tokens(' a fox who lived'));
    const answer = await client.completions.create({ model: 'tales', prompt: 'Once there was' });
    expect(answer.object).toBe('text_completion');
    expect(answer.id).toMatch(/^cmpl-[0-9a-f]{32}$/);
    expect(Math.abs(answer.created - Date.now() / 1000)).toBeLessThan(60);
    expect(answer.model).toBe('tales');
    expect(answer.system_fingerprint).toBe('fp_0123456789');
    expect(answer.choices).toEqual([
      { index: 0, text: ' a fox who lived', logprobs: null, finish_reason: 'stop' },
    ]);
    const prompt = [0, ...tokens('Once there was')];
    const made = tokens(' a fox who lived').length;
    expect(answer.usage).toEqual({
      prompt_tokens: prompt.length,
      completion_tokens: made,
      total_tokens: prompt.length + made,
    });
    expect(answer).toHaveProperty('timings', { queue_ms: 1, prefill_ms: 2, decode_ms: 3 });
    expect(engine.calls[0]!.request).toEqual({
      prompt,
      maxTokens: 16,
      sampling: { temperature: 1, topP: 1, topK: 0, minP: 0 },
      stopTokens: [0],
      delivery: 'end',
    });
  });

  it('streams token by token', async () => {
    const { client, tokens, engine } = await start(() => () => undefined);
    const stream = await new Promise<AsyncIterable<OpenAI.Completion>>((resolve, reject) => {
      client.completions.create({ model: 'tales', prompt: 'Once', stream: true }).then(resolve, reject);
      // Headers come with the first token, so the engine must move first.
      void engine.nextCall().then((call) => call.emit(...tokens(' upon')));
    });
    const chunks = stream[Symbol.asyncIterator]();
    const call = engine.calls[0]!;
    expect(call.request.delivery).toBe('each');
    const first = (await chunks.next()).value!;
    expect(first.choices).toEqual([{ index: 0, text: ' upon', logprobs: null, finish_reason: null }]);
    call.emit(...tokens(' a'));
    const second = (await chunks.next()).value!;
    expect(second.choices[0]!.text).toBe(' a');
    expect(second.id).toBe(first.id);
    expect(second).not.toHaveProperty('usage');
    call.finish('length');
    const last = (await chunks.next()).value!;
    expect(last.choices).toEqual([{ index: 0, text: '', logprobs: null, finish_reason: 'length' }]);
    expect((await chunks.next()).done).toBe(true);
    expect(await call.ended).toEqual({ early: false });
  });
});
