import { describe, expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';

describe('POST /v1/completions', () => {
  it('answers whole', async () => {
    const { client, tokens, engine } = await startGateway((model) => () => model.tokens(' a fox who lived'));
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
      prompt_tokens_details: { cached_tokens: 0 },
    });
    const rate = { tokens_per_second: ((made - 1) * 1000) / 3 };
    expect(answer).toHaveProperty('timings', { queue_ms: 1, prefill_ms: 2, decode_ms: 3, ...rate });
    expect(engine.calls[0]!.request).toEqual({
      prompt,
      maxTokens: 16,
      sampling: { temperature: 1, topP: 1, topK: 0, minP: 0 },
      stopTokens: [0],
      delivery: 'end',
    });
  });

  it('hands the sampling on', async () => {
    const { post, engine } = await startGateway(() => () => [1]);
    const fields = { max_tokens: 7, temperature: 0.5, top_p: 0.9, top_k: 40, min_p: 0.1, seed: 42 };
    await post('/v1/completions', { model: 'tales', prompt: 'a', ...fields });
    expect(engine.calls[0]!.request).toMatchObject({
      maxTokens: 7,
      sampling: { temperature: 0.5, topP: 0.9, topK: 40, minP: 0.1, seed: 42 },
    });
    await post('/v1/completions', { model: 'tales', prompt: 'a', top_k: -1, temperature: null, stop: null });
    expect(engine.calls[1]!.request.sampling).toEqual({ temperature: 1, topP: 1, topK: 0, minP: 0 });
  });

  it.each([
    ['/v1/completions', { prompt: 'a' }],
    ['/v1/chat/completions', { messages: [{ role: 'user', content: 'a' }] }],
  ])('goes on past the end of the text where %s is told to', async (path, fields) => {
    const { post, engine } = await startGateway(() => () => [1]);
    const body = { model: 'tales', ...fields };
    for (const choice of [{ ignore_eos: true }, { ignore_eos: false }, {}])
      await post(path, { ...body, ...choice });
    expect(engine.calls.map(({ request }) => request.stopTokens)).toEqual([[], [0], [0]]);
  });

  it('says when the limit ended it', async () => {
    const { client } = await startGateway((model) => () => model.tokens(' one two three four'));
    const answer = await client.completions.create({ model: 'tales', prompt: 'a', max_tokens: 2 });
    expect(answer.choices[0]!.finish_reason).toBe('length');
    expect(answer.usage!.completion_tokens).toBe(2);
  });

  it('takes token ids, whose ids reach the engine as they are', async () => {
    const { client, engine } = await startGateway(() => () => [5]);
    const answer = await client.completions.create({ model: 'tales', prompt: [7, 8, 9] });
    expect(engine.calls[0]!.request.prompt).toEqual([7, 8, 9]);
    expect(answer.usage!.prompt_tokens).toBe(3);
  });

  it('answers several prompts, n times each, in their order', async () => {
    const { client, engine } = await startGateway(() => (request) => request.prompt);
    const prompt = [[7], [8, 9]];
    const answer = await client.completions.create({ model: 'tales', prompt, n: 2, seed: 10, echo: false });
    expect(answer.choices.map((choice) => choice.index)).toEqual([0, 1, 2, 3]);
    expect(engine.calls.map(({ request }) => request.prompt)).toEqual([[7], [7], [8, 9], [8, 9]]);
    // One seed for all would make n times the same text.
    expect(engine.calls.map(({ request }) => request.sampling.seed)).toEqual([10, 11, 10, 11]);
    expect(answer.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 6, total_tokens: 9 });
    expect(answer).not.toHaveProperty('timings');
  });

  it('takes several texts', async () => {
    const { client, tokens, engine } = await startGateway((model) => () => model.tokens(' x'));
    const answer = await client.completions.create({ model: 'tales', prompt: ['one', 'two'], echo: true });
    expect(engine.calls.map(({ request }) => request.prompt)).toEqual([
      [0, ...tokens('one')],
      [0, ...tokens('two')],
    ]);
    expect(answer.choices.map((choice) => choice.text)).toEqual(['one x', 'two x']);
  });

  it('echoes the prompt, text and token ids, and nothing more with max_tokens 0', async () => {
    const { client, tokens, engine } = await startGateway((model) => () => model.tokens(' end'));
    const ask = async (prompt: string | number[], max_tokens?: number, stop?: string) => {
      const body = { model: 'tales', prompt, echo: true, stop: stop ?? null };
      const answer = await client.completions.create(
        max_tokens === undefined ? body : { ...body, max_tokens },
      );
      return answer.choices[0]!;
    };
    expect(await ask('The')).toMatchObject({ text: 'The end', finish_reason: 'stop' });
    expect(await ask([0, ...tokens('The')])).toMatchObject({ text: 'The end' });
    // Stop strings end what the model writes, not what it was given.
    expect(await ask('The', 5, 'The')).toMatchObject({ text: 'The end' });
    const calls = engine.calls.length;
    expect(await ask('The', 0)).toMatchObject({ text: 'The', finish_reason: 'length' });
    expect(engine.calls).toHaveLength(calls);
  });

  it('gives an empty prompt the token a text begins with', async () => {
    const { client, engine } = await startGateway(() => () => [5]);
    await client.completions.create({ model: 'tales', prompt: '' });
    expect(engine.calls[0]!.request.prompt).toEqual([0]);
  });

  it.each([
    ['in one token', ' fox', ' a fox'],
    ['across tokens', 'fox who', ' a fox who lived'],
    ['several', ['never', 'who', 'lived'], ' a fox who lived'],
  ])('ends before a stop string (%s)', async (_name, stop, text) => {
    const { client, engine } = await startGateway((model) => () => model.tokens(text));
    const answer = await client.completions.create({ model: 'tales', prompt: 'x', stop });
    const first = [stop]
      .flat()
      .map((one) => text.indexOf(one))
      .filter((at) => at >= 0);
    expect(answer.choices[0]).toMatchObject({
      text: text.slice(0, Math.min(...first)),
      finish_reason: 'stop',
    });
    expect(engine.calls[0]!.request.delivery).toBe('each');
  });

  it('keeps concurrent requests apart', async () => {
    const { client, engine } = await startGateway(() => () => undefined);
    const prompts = ['one', 'two', 'three', 'four', 'five'];
    const answers = prompts.map((prompt) => client.completions.create({ model: 'tales', prompt }));
    const calls = [];
    for (const _ of prompts) calls.push(await engine.nextCall());
    // Each is told its own prompt, token by token, all of them in turn, the last request first.
    for (let at = 1; at < 8; at++) {
      for (const call of calls.toReversed()) call.emit(...call.request.prompt.slice(at, at + 1));
    }
    for (const call of calls) call.finish('stop');
    const texts = (await Promise.all(answers)).map((answer) => answer.choices[0]!.text);
    expect(texts).toEqual(prompts);
    expect(new Set(calls.map((call) => call.request.prompt.join()))).toHaveProperty('size', prompts.length);
  });
});
