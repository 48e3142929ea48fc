import type OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { EngineError } from '../../functions/engine/engine.ts';
import { startGateway, type TestGateway } from '../fixtures/gateway.ts';
import type { ScriptedCall } from '../fixtures/scripted-engine.ts';

/** A streamed completion, once its first token is there: headers come with it. */
async function begin(
  gateway: TestGateway,
  first: string,
  body: Partial<OpenAI.CompletionCreateParamsStreaming> = {},
) {
  const request = gateway.client.completions.create({ model: 'tales', prompt: 'x', stream: true, ...body });
  const call = await gateway.engine.nextCall();
  call.emit(...gateway.tokens(first));
  const stream = await request;
  return { call, stream, chunks: stream[Symbol.asyncIterator]() };
}

async function textOf(chunks: AsyncIterator<OpenAI.Completion>): Promise<string> {
  return (await chunks.next()).value?.choices[0]?.text;
}

describe('streamed completions', () => {
  it('come token by token', async () => {
    const gateway = await startGateway(() => () => undefined);
    const { call, chunks } = await begin(gateway, ' upon');
    expect(call.request.delivery).toBe('soon');
    const first: OpenAI.Completion = (await chunks.next()).value;
    expect(first.object).toBe('text_completion');
    expect(first.system_fingerprint).toBe('fp_0123456789');
    expect(first.choices).toEqual([{ index: 0, text: ' upon', logprobs: null, finish_reason: null }]);
    call.emit(...gateway.tokens(' a'));
    const second: OpenAI.Completion = (await chunks.next()).value;
    expect(second.choices[0]!.text).toBe(' a');
    expect(second.id).toBe(first.id);
    expect(second).not.toHaveProperty('usage');
    call.finish('length');
    const last: OpenAI.Completion = (await chunks.next()).value;
    expect(last.choices).toEqual([{ index: 0, text: '', logprobs: null, finish_reason: 'length' }]);
    expect((await chunks.next()).done).toBe(true);
    expect(await call.ended).toEqual({ early: false });
  });

  it('end with usage where it was asked for', async () => {
    const gateway = await startGateway((model) => () => model.tokens(' one two'));
    const stream = await gateway.client.completions.create({
      model: 'tales',
      prompt: [4, 5, 6],
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const last = chunks.pop()!;
    const made = gateway.tokens(' one two').length;
    expect(chunks.map((chunk) => chunk.usage)).toEqual(chunks.map(() => null));
    expect(chunks.map((chunk) => chunk.choices[0]!.text).join('')).toBe(' one two');
    expect(last.choices).toEqual([]);
    expect(last.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: made, total_tokens: 3 + made });
    expect(last).toHaveProperty('timings', {
      queue_ms: 1,
      prefill_ms: 2,
      decode_ms: 3,
      tokens_per_second: 1000 / 3,
    });
  });

  it.each(['completions', 'chat/completions'])(
    'of %s tell the usage so far where it was asked for',
    async (path) => {
      const gateway = await startGateway(() => () => undefined);
      const answer = gateway.post(`/v1/${path}`, {
        ...{ model: 'tales', stream: true, prompt: [4, 5, 6], messages: [{ role: 'user', content: 'a' }] },
        stream_options: { include_usage: true, continuous_usage_stats: true },
      });
      const call = await gateway.engine.nextCall();
      call.send({ tokens: gateway.tokens(' one two').slice(0, 1) });
      call.send({ tokens: gateway.tokens(' one two three').slice(1, 3) });
      call.finish('stop');
      const events = (await (await answer).text()).split('\n\n').slice(0, -2);
      const usages = events.map((event) => JSON.parse(event.slice('data: '.length)).usage);
      const prompt = call.request.prompt.length;
      expect(usages.map(({ completion_tokens }) => completion_tokens)).toEqual(
        path === 'completions' ? [1, 3, 3, 3] : [1, 1, 3, 3, 3],
      );
      for (const usage of usages)
        expect(usage).toMatchObject({
          prompt_tokens: prompt,
          total_tokens: prompt + usage.completion_tokens,
        });
    },
  );

  it('never show a part of a stop string, and stop the engine at it', async () => {
    const gateway = await startGateway(() => () => undefined);
    const { call, chunks } = await begin(gateway, ' a', { stop: ' fox who' });
    expect(await textOf(chunks)).toBe(' a');
    call.emit(...gateway.tokens(' fox'), ...gateway.tokens(' was'));
    // The first half was held back until it was clear that the second does not come.
    expect(await textOf(chunks)).toBe(' fox was');
    call.emit(...gateway.tokens(' fox'), ...gateway.tokens(' who'), ...gateway.tokens(' lived'));
    const last = (await chunks.next()).value!;
    expect(last.choices[0]).toMatchObject({ text: '', finish_reason: 'stop' });
    expect((await chunks.next()).done).toBe(true);
    expect(await call.ended).toEqual({ early: true });
  });

  it('never break a character', async () => {
    const gateway = await startGateway(() => () => undefined);
    const emoji = gateway.tokens('👩');
    expect(emoji.length).toBeGreaterThan(1);
    const { call, chunks } = await begin(gateway, 'a');
    await chunks.next();
    call.emit(...emoji);
    expect(await textOf(chunks)).toBe('👩');
    call.emit(emoji[0]!);
    call.finish('length');
    expect((await chunks.next()).value!.choices[0]!.text).toBe('\uFFFD');
  });

  it('mix their choices, each under its index', async () => {
    const gateway = await startGateway(() => () => undefined);
    const request = gateway.client.completions.create({ model: 'tales', prompt: 'x', n: 2, stream: true });
    const calls = [await gateway.engine.nextCall(), await gateway.engine.nextCall()] as [
      ScriptedCall,
      ScriptedCall,
    ];
    calls[1].emit(...gateway.tokens(' second'));
    const chunks = (await request)[Symbol.asyncIterator]();
    const next = async () => (await chunks.next()).value!.choices[0]!;
    expect(await next()).toMatchObject({ index: 1, text: ' second' });
    calls[0].emit(...gateway.tokens(' first'));
    expect(await next()).toMatchObject({ index: 0, text: ' first' });
    calls[0].finish('stop');
    expect(await next()).toMatchObject({ index: 0, finish_reason: 'stop' });
    calls[1].finish('length');
    expect(await next()).toMatchObject({ index: 1, finish_reason: 'length' });
    expect((await chunks.next()).done).toBe(true);
  });

  it('begin with the echo', async () => {
    const gateway = await startGateway((model) => () => model.tokens(' end'));
    const body = { model: 'tales', prompt: 'The', echo: true, stream: true } as const;
    let text = '';
    for await (const chunk of await gateway.client.completions.create(body)) text += chunk.choices[0]!.text;
    expect(text).toBe('The end');
  });

  it('end with an error event where the model fails on the way', async () => {
    const errors: unknown[] = [];
    const gateway = await startGateway(() => () => undefined, { onError: (error) => errors.push(error) });
    const { call, chunks } = await begin(gateway, ' a');
    await chunks.next();
    const failure = new EngineError('It broke.');
    call.fail(failure);
    await expect(chunks.next()).rejects.toThrow(/It broke/);
    expect(errors).toEqual([failure]);
  });

  it('answer with a status where the model fails before the first token', async () => {
    const gateway = await startGateway(() => () => undefined);
    const request = gateway.client.completions.create({ model: 'tales', prompt: 'x', stream: true });
    (await gateway.engine.nextCall()).fail(new EngineError('It broke.'));
    await expect(request).rejects.toMatchObject({ status: 500, type: 'server_error', code: 'engine_error' });
  });

  it('are server-sent events, tokens of one moment in one write', async () => {
    const gateway = await startGateway((model) => () => model.tokens(' one two three'));
    const response = await gateway.post('/v1/completions', { model: 'tales', prompt: 'x', stream: true });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(response.headers.get('cache-control')).toBe('no-cache');
    const writes = [];
    for await (const write of response.body!) writes.push(Buffer.from(write).toString());
    expect(writes).toHaveLength(1);
    const events = writes[0]!.split('\n\n');
    expect(events.pop()).toBe('');
    expect(events.pop()).toBe('data: [DONE]');
    const texts = events.map((event) => JSON.parse(event.replace(/^data: /, '')).choices[0].text);
    expect(texts).toHaveLength(gateway.tokens(' one two three').length + 1);
    expect(texts.join('')).toBe(' one two three');
  });
});
