import { describe, expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';

const endpoints = [
  ['/v1/completions', { prompt: 'a' }],
  ['/v1/chat/completions', { messages: [{ role: 'user', content: 'a' }] }],
] as const;

describe.each(endpoints)('sampling by %s', (path, fields) => {
  it('reaches the engine', async () => {
    const { post, engine } = await startGateway(() => () => [5]);
    const asked = {
      typical_p: 0.5,
      repetition_penalty: 1.2,
      frequency_penalty: -0.5,
      presence_penalty: 2,
      logit_bias: { 7: -100, 8: 2.5 },
    };
    const response = await post(path, { model: 'tales', ...fields, ...asked });
    expect(response.status).toBe(200);
    expect(engine.calls[0]!.request.sampling).toEqual({
      temperature: 1,
      topP: 1,
      topK: 0,
      minP: 0,
      typicalP: 0.5,
      repetitionPenalty: 1.2,
      frequencyPenalty: -0.5,
      presencePenalty: 2,
      logitBias: { 7: -100, 8: 2.5 },
    });
  });

  it('costs nothing where it is left at its default', async () => {
    const { post, engine } = await startGateway(() => () => [5]);
    const defaults = {
      typical_p: 1,
      repetition_penalty: 1,
      frequency_penalty: 0,
      presence_penalty: 0,
      logit_bias: {},
      min_tokens: 0,
      stop_token_ids: [],
    };
    const body = { model: 'tales', ...fields, max_tokens: 9 };
    for (const asked of [{}, defaults, { typical_p: null, logit_bias: null, stop_token_ids: null }]) {
      await post(path, { ...body, ...asked });
    }
    const [plain, ...others] = engine.calls.map(({ request }) => request);
    expect(Object.keys(plain!)).not.toContain('minTokens');
    expect(plain!.sampling).toEqual({ temperature: 1, topP: 1, topK: 0, minP: 0 });
    for (const request of others) expect(request).toEqual(plain);
  });
});

describe('what a request does not say of sampling', () => {
  const own = { temperature: 0.6, topP: 0.8, topK: 20, minP: 0.05, repetitionPenalty: 1.1 };
  const asked: (readonly [string, object])[] = [
    ...endpoints,
    ['/v1/responses', { input: 'a' }],
    ['/v1/messages', { max_tokens: 5, messages: [{ role: 'user', content: 'a' }] }],
  ];

  it.each(asked)("is as the model's makers say (%s)", async (path, fields) => {
    const { post, engine } = await startGateway(() => () => [5], { sampling: own });
    const response = await post(path, { model: 'tales', ...fields });
    expect(response.status).toBe(200);
    expect(engine.calls[0]!.request.sampling).toEqual(own);
    const plain = { temperature: 1, top_p: 1, top_k: 0, min_p: 0, repetition_penalty: 1 };
    await post(path, { model: 'tales', ...fields, ...plain });
    expect(engine.calls[1]!.request.sampling).toEqual({ temperature: 1, topP: 1, topK: 0, minP: 0 });
    await post(path, { model: 'tales', ...fields, temperature: 0, top_k: -1, min_p: null });
    expect(engine.calls[2]!.request.sampling).toEqual({ ...own, temperature: 0, topK: 0 });
  });

  it('is told with a response', async () => {
    const { client } = await startGateway(() => () => [5], { sampling: own });
    const { temperature, top_p } = await client.responses.create({ model: 'tales', input: 'a', top_p: 0.5 });
    expect({ temperature, top_p }).toEqual({ temperature: 0.6, top_p: 0.5 });
  });
});

/** What the client's types lack. */
type Extra = Record<string, unknown>;

describe('the end of a text', () => {
  async function complete(text: string, extra: Extra, finish?: { stopToken: number }) {
    const gateway = await startGateway(() => () => undefined, { controlTokens: ['<|pause|>'] });
    const body = { model: 'tales', prompt: 'x', max_tokens: 50, ...extra };
    const answer = gateway.client.completions.create(body);
    const call = await gateway.engine.nextCall();
    call.emit(...gateway.tokenizer.encode(text, { addSpecialTokens: false }));
    call.finish('stop', finish?.stopToken);
    const { request } = call;
    const { text: made, finish_reason } = (await answer).choices[0]!;
    return { request, text: made, finish_reason };
  }

  it('comes at stop tokens too, also where that of the model is ignored', async () => {
    const { request } = await complete(' a', { stop_token_ids: [7, 8] });
    expect(request.stopTokens).toEqual([0, 7, 8]);
    const ignoring = await complete(' a', { stop_token_ids: [7, 8], ignore_eos: true });
    expect(ignoring.request.stopTokens).toEqual([7, 8]);
  });

  it('shows what ended it where it is told to', async () => {
    const stop = { stop: [' fox', ' who'] };
    const text = ' a fox who lived';
    expect(await complete(text, stop)).toMatchObject({ text: ' a', finish_reason: 'stop' });
    const including = { include_stop_str_in_output: true };
    expect(await complete(text, { ...stop, ...including })).toMatchObject({
      text: ' a fox',
      finish_reason: 'stop',
    });
    const fox = (await startGateway(() => () => [])).tokens(' fox')[0]!;
    const atToken = { stop_token_ids: [fox] };
    expect((await complete(' a', atToken, { stopToken: fox })).text).toBe(' a');
    expect((await complete(' a', { ...atToken, ...including }, { stopToken: fox })).text).toBe(' a fox');
    // A control token has no text, unless control tokens are shown.
    expect((await complete(' a', including, { stopToken: 0 })).text).toBe(' a');
    const shown = { ...including, skip_special_tokens: false };
    expect((await complete(' a', shown, { stopToken: 0 })).text).toBe(' a<|endoftext|>');
  });

  it('is not looked for before the least number of tokens', async () => {
    const text = ' one two one two one two';
    const { request, ...answer } = await complete(text, { stop: ' one', min_tokens: 4 });
    expect(request.minTokens).toBe(4);
    expect(answer).toEqual({ text: ' one two one two', finish_reason: 'stop' });
    // The fourth token's text cannot be half of a stop string.
    const across = await complete(text, { stop: 'two one', min_tokens: 4 });
    expect(across.text).toBe(' one two one two one two');
    const after = await complete(text, { stop: ' one two', min_tokens: 1 });
    expect(after.text).toBe(' one two');
  });

  it('shows control tokens where it is told to', async () => {
    const text = ' a<|pause|> b';
    expect((await complete(text, {})).text).toBe(' a b');
    expect((await complete(text, { skip_special_tokens: false })).text).toBe(text);
    expect((await complete(text, { skip_special_tokens: false, stop: 'pause' })).text).toBe(' a<|');
  });
});

describe('best_of', () => {
  it('sends the likeliest, best first, and counts all', async () => {
    // The scripted model finds tokens of lower ids likelier.
    const texts = [[40, 50], [10], [200, 300, 400], [30, 20]];
    const gateway = await startGateway(() => (request) => texts[request.sampling.seed! % 10]!);
    const answer = await gateway.client.completions.create({
      model: 'tales',
      prompt: [[7], [8, 9]],
      best_of: 4,
      n: 2,
      seed: 10,
    });
    const { engine, tokenizer } = gateway;
    expect(engine.calls.map(({ request }) => request.sampling.seed)).toEqual([
      10, 11, 12, 13, 10, 11, 12, 13,
    ]);
    const text = (tokens: number[]) => tokens.map((id) => tokenizer.tokenOf(id)!.replace('Ġ', ' ')).join('');
    const best = [text([10]), text([30, 20])];
    expect(answer.choices.map((choice) => choice.text)).toEqual([...best, ...best]);
    expect(answer.choices.map((choice) => choice.index)).toEqual([0, 1, 2, 3]);
    expect(answer.choices.map((choice) => choice.logprobs)).toEqual([null, null, null, null]);
    expect(answer.usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 2 * 8 });
  });

  it('reports log probabilities where they are asked for', async () => {
    const { client } = await startGateway(() => (request) => [20 + request.sampling.seed!]);
    const body = { model: 'tales', prompt: 'x', best_of: 3, n: 1, seed: 1, logprobs: 1 };
    const answer = await client.completions.create(body);
    expect(answer.choices.map((choice) => choice.logprobs!.token_logprobs)).toEqual([[-21 / 16]]);
  });

  it('judges an empty completion by the token that ended it', async () => {
    for (const [end, isFirst] of [
      [8, true], // likelier than what the other has
      [99, false],
    ] as const) {
      const { client, engine } = await startGateway(() => () => undefined);
      const body = { model: 'tales', prompt: 'x', best_of: 3, n: 2, stop_token_ids: [8, 99] };
      const answer = client.completions.create(body);
      for (const tokens of [[], [10], [20]]) {
        const call = await engine.nextCall();
        call.emit(...tokens);
        call.finish('stop', tokens.length > 0 ? 0 : end);
      }
      const { choices } = await answer;
      expect(choices.map(({ text }) => text === '')).toEqual(isFirst ? [false, true] : [false, false]);
    }
  });

  it('may be n in a stream, and asks for nothing then', async () => {
    const { post, engine } = await startGateway(() => () => [5]);
    const body = { model: 'tales', prompt: 'x', best_of: 2, n: 2, stream: true };
    expect((await post('/v1/completions', body)).status).toBe(200);
    expect(engine.calls.map(({ request }) => request.logprobs)).toEqual([undefined, undefined]);
  });
});
