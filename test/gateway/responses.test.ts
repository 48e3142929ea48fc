import type OpenAI from 'openai';
import { APIError, BadRequestError, NotFoundError } from 'openai';
import { describe, expect, it } from 'vitest';
import { EngineError } from '../../functions/engine/engine.ts';
import { startGateway } from '../fixtures/gateway.ts';

const ask = { model: 'tales', input: 'Hello' };

describe('POST /v1/responses', () => {
  it('answers whole', async () => {
    const { client, tokens, engine } = await startGateway((model) => () => model.tokens('Hi there'));
    const response = await client.responses.create({
      ...ask,
      instructions: 'Be kind.',
      metadata: { a: 'b' },
    });
    const prompt = tokens('[system] Be kind.\n[user] Hello\n[assistant] ');
    const made = tokens('Hi there').length;
    expect(response.output_text).toBe('Hi there');
    expect(response).toMatchObject({
      id: expect.stringMatching(/^resp_[0-9a-f]{32}$/),
      object: 'response',
      status: 'completed',
      model: 'tales',
      error: null,
      incomplete_details: null,
      instructions: 'Be kind.',
      max_output_tokens: null,
      metadata: { a: 'b' },
      store: false,
      previous_response_id: null,
      output: [
        {
          type: 'message',
          id: expect.stringMatching(/^msg_[0-9a-f]{32}$/),
          role: 'assistant',
          status: 'completed',
          content: [{ type: 'output_text', text: 'Hi there', annotations: [], logprobs: [] }],
        },
      ],
      usage: {
        input_tokens: prompt.length,
        input_tokens_details: { cached_tokens: 0 },
        output_tokens: made,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: prompt.length + made,
      },
    });
    expect(Math.abs(response.created_at - Date.now() / 1000)).toBeLessThan(60);
    expect(engine.calls[0]!.request).toMatchObject({ prompt, maxTokens: 512 });
  });

  it("streams OpenAI's events, in their order, numbered", async () => {
    const { client, tokens } = await startGateway((model) => () => model.tokens('Hi there'));
    const events = [];
    for await (const event of await client.responses.create({ ...ask, stream: true })) events.push(event);
    expect(events.map((event) => event.type)).toEqual([
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      ...tokens('Hi there').map(() => 'response.output_text.delta'),
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ]);
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, index) => index));
    const deltas = events.flatMap((event) =>
      event.type === 'response.output_text.delta' ? [event.delta] : [],
    );
    expect(deltas.join('')).toBe('Hi there');
    const first = events[0] as OpenAI.Responses.ResponseCreatedEvent;
    const last = events.at(-1) as OpenAI.Responses.ResponseCompletedEvent;
    expect(first.response).toMatchObject({
      id: last.response.id,
      status: 'in_progress',
      output: [],
      usage: null,
    });
    const item = last.response.output[0] as OpenAI.Responses.ResponseOutputMessage;
    expect(item.content).toMatchObject([{ type: 'output_text', text: 'Hi there' }]);
    for (const event of events) if ('item_id' in event) expect(event.item_id).toBe(item.id);
    expect(last.response.usage!.output_tokens).toBe(tokens('Hi there').length);
  });

  it("works with the client's own stream helper", async () => {
    const { client } = await startGateway((model) => () => model.tokens('Hi there'));
    const stream = client.responses.stream(ask);
    expect((await stream.finalResponse()).output_text).toBe('Hi there');
  });

  it('says when the limit ended it', async () => {
    const { client, tokens } = await startGateway((model) => () => model.tokens('one two three four'));
    const limited = { ...ask, max_output_tokens: 2 };
    const incomplete = {
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      max_output_tokens: 2,
      output: [{ status: 'incomplete' }],
    };
    expect(await client.responses.create(limited)).toMatchObject(incomplete);
    const events = [];
    for await (const event of await client.responses.create({ ...limited, stream: true })) events.push(event);
    expect(events.at(-1)).toMatchObject({ type: 'response.incomplete', response: incomplete });
    expect(tokens('one two three four').length).toBeGreaterThan(2);
  });

  it('reports the log probabilities of tokens as chat does, streamed as well', async () => {
    const { client } = await startGateway((model) => () => model.tokens('Hi there'));
    const messages = [{ role: 'user', content: 'Hello' }] as const;
    const chat = await client.chat.completions.create({
      model: 'tales',
      messages: [...messages],
      logprobs: true,
      top_logprobs: 2,
    });
    const logprobs = chat.choices[0]!.logprobs!.content!;
    expect(logprobs[0]!.top_logprobs).toHaveLength(2);
    const body = { ...ask, include: ['message.output_text.logprobs' as const], top_logprobs: 2 };
    const whole = await client.responses.create(body);
    expect(whole.output).toMatchObject([{ content: [{ logprobs }] }]);
    const events = [];
    for await (const event of await client.responses.create({ ...body, stream: true })) events.push(event);
    const deltas = events.flatMap((event) =>
      event.type === 'response.output_text.delta' ? event.logprobs : [],
    );
    expect(deltas).toEqual(logprobs);
    expect(events.at(-1)).toMatchObject({ response: { output: [{ content: [{ logprobs }] }] } });
  });

  it('takes items: messages of every role, and earlier answers as they came', async () => {
    const { client, tokens, engine } = await startGateway((model) => () => model.tokens('Yes'));
    const { output } = await client.responses.create(ask);
    await client.responses.create({
      model: 'tales',
      instructions: 'Be kind.',
      input: [
        { role: 'developer', content: 'Be brief.' },
        { role: 'user', content: 'Hello' },
        ...(output as OpenAI.Responses.ResponseOutputMessage[]),
        { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Really?' }] },
      ],
      temperature: 0.5,
      top_p: 0.9,
    });
    const text = '[system] Be kind.\nBe brief.\n[user] Hello\n[assistant] Yes\n[user] Really?\n[assistant] ';
    const { request } = engine.calls[1]!;
    expect(request.prompt).toEqual(tokens(text));
    expect(request.sampling).toMatchObject({ temperature: 0.5, topP: 0.9 });
  });

  it.each([
    [{ input: undefined }, 'input'],
    [{ input: [] }, 'input'],
    [{ input: [{ role: 'robot', content: 'x' }] }, 'input[0].role'],
    [{ input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'x' }] }] }, 'input[0].content'],
    [{ input: [{ type: 'item_reference', id: 'msg_1' }] }, 'input[0].type'],
    [{ max_output_tokens: 0 }, 'max_output_tokens'],
    [{ temperature: 3 }, 'temperature'],
  ])('refuses %j by its place', async (fields, param) => {
    const { client, engine } = await startGateway(() => () => [5]);
    const request = client.responses.create({ ...ask, ...fields } as never);
    await expect(request).rejects.toThrow(BadRequestError);
    await expect(request).rejects.toMatchObject({ param, code: 'invalid_value' });
    expect(engine.calls).toHaveLength(0);
  });

  it.each([
    [{ previous_response_id: 'resp_1' }, /send the whole conversation as input/],
    [{ conversation: 'conv_1' }, /send the whole of it as input/],
    [{ store: true }, /leave it out, or send false/],
    [{ background: true }, /Leave it out/],
    [{ truncation: 'auto' }, /Leave it out/],
    [{ reasoning: { effort: 'high' } }, /Leave it out/],
    [{ prompt: { id: 'x' } }, /Leave it out/],
  ])('refuses %j and says what to do', async (fields, advice) => {
    const { client } = await startGateway(() => () => [5]);
    const request = client.responses.create({ ...ask, ...fields } as never);
    await expect(request).rejects.toThrow(advice);
    await expect(request).rejects.toMatchObject({
      param: Object.keys(fields)[0],
      code: 'unsupported_parameter',
    });
  });

  it('passes what asks for nothing', async () => {
    const { client } = await startGateway(() => () => [5]);
    await client.responses.create({
      ...ask,
      store: false,
      background: false,
      previous_response_id: null,
      include: ['reasoning.encrypted_content'],
      tools: [],
      tool_choice: 'auto',
      parallel_tool_calls: true,
      text: { format: { type: 'text' }, verbosity: 'low' },
      reasoning: { effort: null, summary: null },
      truncation: 'disabled',
      prompt_cache_key: 'x',
      safety_identifier: 'y',
    });
  });

  it("knows other models as little as the other endpoints, and refuses models that don't chat", async () => {
    const { client } = await startGateway(() => () => [5]);
    await expect(client.responses.create({ ...ask, model: 'gpt-5' })).rejects.toThrow(NotFoundError);
    const bare = await startGateway(() => () => [5], { template: 'none' });
    await expect(bare.client.responses.create(ask)).rejects.toMatchObject({ code: 'chat_not_supported' });
  });

  it('names the input where it is beyond the context', async () => {
    const { client } = await startGateway(() => () => [5], { contextLength: 8 });
    await expect(client.responses.create({ ...ask, input: 'one two '.repeat(9) })).rejects.toMatchObject({
      status: 400,
      code: 'context_length_exceeded',
      param: 'input',
    });
  });

  it('ends with an error event where the model fails on the way', async () => {
    const { client, engine, tokens } = await startGateway(() => () => undefined);
    const request = client.responses.create({ ...ask, stream: true });
    const call = await engine.nextCall();
    call.emit(...tokens('Hi'));
    const events = (await request)[Symbol.asyncIterator]();
    for (let at = 0; at < 5; at++) expect((await events.next()).value.sequence_number).toBe(at);
    call.fail(new EngineError('It broke.'));
    const error = await events.next().catch((error) => error);
    expect(error).toBeInstanceOf(APIError);
    expect(error.error).toMatchObject({ type: 'error', code: 'engine_error', sequence_number: 5 });
    expect(error.message).toMatch(/It broke/);
  });
});

describe('POST /v1/responses/input_tokens', () => {
  it('counts the prompt, also one beyond the context', async () => {
    const { client, tokens, engine } = await startGateway(() => () => [5], { contextLength: 16 });
    const counted = await client.responses.inputTokens.count({ ...ask, instructions: 'Be kind.' });
    expect(counted).toEqual({
      object: 'response.input_tokens',
      input_tokens: tokens('[system] Be kind.\n[user] Hello\n[assistant] ').length,
    });
    const long = await client.responses.inputTokens.count({ model: 'tales', input: 'word '.repeat(100) });
    expect(long.input_tokens).toBeGreaterThan(100);
    expect(engine.calls).toHaveLength(0);
  });
});
