import Anthropic, { APIError, BadRequestError, InternalServerError, NotFoundError } from '@anthropic-ai/sdk';
import { describe, expect, it } from 'vitest';
import { EngineError } from '../../functions/engine/engine.ts';
import { startGateway } from '../fixtures/gateway.ts';

type Start = typeof startGateway;

/** A gateway, and Anthropic's own client of it. */
async function start(...args: Parameters<Start>) {
  const gateway = await startGateway(...args);
  const anthropic = new Anthropic({ baseURL: gateway.server.url, apiKey: 'any', maxRetries: 0 });
  return { ...gateway, anthropic };
}

const hello = { role: 'user', content: 'Hello' } as const;
const ask = { model: 'tales', max_tokens: 50, messages: [hello] };

describe('POST /v1/messages', () => {
  it('answers whole', async () => {
    const { anthropic, tokens, engine } = await start((model) => () => model.tokens('Hi there'));
    const message = await anthropic.messages.create({ ...ask, system: 'Be kind.' });
    expect(message).toEqual({
      id: expect.stringMatching(/^msg_[0-9a-f]{24}$/),
      type: 'message',
      role: 'assistant',
      model: 'tales',
      content: [{ type: 'text', text: 'Hi there' }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: {
        input_tokens: tokens('[system] Be kind.\n[user] Hello\n[assistant] ').length,
        output_tokens: tokens('Hi there').length,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
      },
    });
    const { request } = engine.calls[0]!;
    expect(request.prompt).toEqual(tokens('[system] Be kind.\n[user] Hello\n[assistant] '));
    expect(request.maxTokens).toBe(50);
  });

  it("streams Anthropic's events in their order", async () => {
    const { anthropic, tokens } = await start((model) => () => model.tokens('Hi there'));
    const events = [];
    for await (const event of await anthropic.messages.create({ ...ask, stream: true })) events.push(event);
    expect(events[0]).toMatchObject({
      type: 'message_start',
      message: {
        type: 'message',
        role: 'assistant',
        content: [],
        stop_reason: null,
        usage: { input_tokens: tokens('[user] Hello\n[assistant] ').length, output_tokens: 0 },
      },
    });
    expect(events[1]).toEqual({
      type: 'content_block_start',
      index: 0,
      content_block: { type: 'text', text: '' },
    });
    const deltas = events.filter((event) => event.type === 'content_block_delta');
    expect(deltas).toHaveLength(tokens('Hi there').length);
    const texts = deltas.map(({ delta }) => (delta.type === 'text_delta' ? delta.text : undefined));
    expect(texts.join('')).toBe('Hi there');
    expect(events.slice(2 + deltas.length)).toEqual([
      { type: 'content_block_stop', index: 0 },
      {
        type: 'message_delta',
        delta: { stop_reason: 'end_turn', stop_sequence: null },
        usage: expect.objectContaining({ output_tokens: tokens('Hi there').length }),
      },
      { type: 'message_stop' },
    ]);
  });

  it("works with the client's own stream helper", async () => {
    const { anthropic, tokens } = await start((model) => () => model.tokens('Hi there'));
    const stream = anthropic.messages.stream(ask);
    expect(await stream.finalText()).toBe('Hi there');
    const message = await stream.finalMessage();
    expect(message.stop_reason).toBe('end_turn');
    expect(message.usage.output_tokens).toBe(tokens('Hi there').length);
  });

  it('says what ended the text: the limit, or which stop sequence', async () => {
    const { anthropic } = await start((model) => () => model.tokens('one two three four'));
    const limited = await anthropic.messages.create({ ...ask, max_tokens: 2 });
    expect(limited).toMatchObject({ stop_reason: 'max_tokens', stop_sequence: null });
    const stopped = { ...ask, stop_sequences: ['four', 'three'] };
    const ending = { stop_reason: 'stop_sequence', stop_sequence: 'three' };
    const message = await anthropic.messages.create(stopped);
    expect(message).toMatchObject({ ...ending, content: [{ text: 'one two ' }] });
    const streamed = await anthropic.messages.stream(stopped).finalMessage();
    expect(streamed).toMatchObject({ ...ending, content: [{ text: 'one two ' }] });
  });

  it('counts prompt tokens that were cached apart from the others', async () => {
    const { anthropic, engine, tokens } = await start(() => () => undefined);
    const request = anthropic.messages.create(ask);
    const call = await engine.nextCall();
    const timings = { queue: 1, prefill: 2, decode: 3 };
    call.send({ tokens: tokens('Hi'), finish: 'stop', timings, cachedTokens: 3 });
    const { length } = call.request.prompt;
    expect((await request).usage).toMatchObject({ input_tokens: length - 3, cache_read_input_tokens: 3 });
  });

  it('hands the sampling on', async () => {
    const { anthropic, engine } = await start(() => () => [5]);
    const sampling = { temperature: 0.5, top_p: 0.9, top_k: 40 };
    await anthropic.messages.create({ ...ask, ...sampling } as Anthropic.MessageCreateParamsNonStreaming);
    expect(engine.calls[0]!.request.sampling).toMatchObject({ temperature: 0.5, topP: 0.9, topK: 40 });
  });

  it('takes blocks of text, and puts messages of one role together', async () => {
    const { anthropic, tokens, engine } = await start(() => () => [5]);
    await anthropic.messages.create({
      ...ask,
      system: [
        { type: 'text', text: 'Be kind.', cache_control: { type: 'ephemeral' } },
        { type: 'text', text: 'Be brief.' },
      ],
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'One' }] },
        { role: 'user', content: 'Two' },
        { role: 'assistant', content: 'Yes' },
        hello,
      ],
      metadata: { user_id: 'me' },
    });
    const text = '[system] Be kind.\nBe brief.\n[user] One\nTwo\n[assistant] Yes\n[user] Hello\n[assistant] ';
    expect(engine.calls[0]!.request.prompt).toEqual(tokens(text));
  });

  it('goes on from an answer that was begun', async () => {
    const { anthropic, tokens, engine } = await start((model) => () => model.tokens(' is Paris'));
    const message = await anthropic.messages.create({
      ...ask,
      messages: [hello, { role: 'assistant', content: 'The capital' }],
    });
    expect(engine.calls[0]!.request.prompt).toEqual(tokens('[user] Hello\n[assistant] The capital'));
    expect(message.content).toEqual([{ type: 'text', text: ' is Paris' }]);
  });
});

describe('POST /v1/messages/count_tokens', () => {
  it('counts the prompt, also one beyond the context', async () => {
    const { anthropic, tokens, engine } = await start(() => () => [5], { contextLength: 16 });
    const count = await anthropic.messages.countTokens({
      model: 'tales',
      system: 'Be kind.',
      messages: [hello],
    });
    expect(count).toEqual({ input_tokens: tokens('[system] Be kind.\n[user] Hello\n[assistant] ').length });
    const long = { role: 'user', content: 'word '.repeat(100) } as const;
    const { input_tokens } = await anthropic.messages.countTokens({ model: 'tales', messages: [long] });
    expect(input_tokens).toBeGreaterThan(100);
    expect(engine.calls).toHaveLength(0);
  });
});

describe("errors in Anthropic's shape", () => {
  it.each([
    [{ max_tokens: undefined }, 'max_tokens'],
    [{ max_tokens: 0 }, 'max_tokens'],
    [{ messages: [] }, 'messages'],
    [{ messages: undefined }, 'messages'],
    [{ messages: [{ role: 'tool', content: 'x' }] }, 'messages[0].role'],
    [{ messages: [{ role: 'user', content: [{ type: 'image', source: {} }] }] }, 'messages[0].content'],
    [{ stop_sequences: [''] }, 'stop_sequences[0]'],
    [{ tools: [{ type: 'web_search_20250305', name: 'web_search' }] }, 'tools[0]'],
    [{ tool_choice: { type: 'any' } }, 'tool_choice'],
    [{ tool_choice: { type: 'tool', name: 'f' } }, 'tool_choice'],
    [{ thinking: { type: 'enabled', budget_tokens: 1024 } }, 'thinking'],
  ])('%j: the message names the field', async (fields, param) => {
    const { anthropic, engine } = await start(() => () => [5]);
    const error = await anthropic.messages.create({ ...ask, ...fields } as never).catch((error) => error);
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error.type).toBe('invalid_request_error');
    expect(error.error).toEqual({
      type: 'error',
      error: { type: 'invalid_request_error', message: expect.stringContaining(param) },
      request_id: expect.any(String),
    });
    expect(engine.calls).toHaveLength(0);
  });

  it('pass where parameters ask for nothing, and with fields nobody knows', async () => {
    const { post } = await start(() => () => [5]);
    const nothing = { tools: [], tool_choice: { type: 'auto' }, thinking: { type: 'disabled' }, made_up: 1 };
    expect((await post('/v1/messages', { ...ask, ...nothing })).status).toBe(200);
  });

  it('a NotFoundError for another model, with the id of the request', async () => {
    const { anthropic } = await start(() => () => [5]);
    const error = await anthropic.messages.create({ ...ask, model: 'claude' }).catch((error) => error);
    expect(error).toBeInstanceOf(NotFoundError);
    expect(error.type).toBe('not_found_error');
    expect(error.requestID).toMatch(/^[\w-]+$/);
    expect(error.error.request_id).toBe(error.requestID);
  });

  it('a BadRequestError for a prompt beyond the context', async () => {
    const { anthropic } = await start(() => () => [5], { contextLength: 8 });
    const request = anthropic.messages.create({
      ...ask,
      messages: [{ role: 'user', content: 'one two '.repeat(9) }],
    });
    await expect(request).rejects.toThrow(/context is 8 tokens/);
  });

  it('an InternalServerError where the model fails', async () => {
    const { anthropic, engine } = await start(() => () => undefined);
    const whole = anthropic.messages.create(ask);
    (await engine.nextCall()).fail(new EngineError('It broke.'));
    await expect(whole).rejects.toThrow(InternalServerError);
    await expect(whole).rejects.toMatchObject({ type: 'api_error', status: 500 });
  });

  it('an event where the model fails in a stream', async () => {
    const { anthropic, engine, tokens } = await start(() => () => undefined);
    const request = anthropic.messages.create({ ...ask, stream: true });
    const call = await engine.nextCall();
    call.emit(...tokens('Hi'));
    const events = (await request)[Symbol.asyncIterator]();
    for (const type of ['message_start', 'content_block_start', 'content_block_delta'])
      expect((await events.next()).value).toMatchObject({ type });
    call.fail(new EngineError('It broke.'));
    const error = await events.next().catch((error) => error);
    expect(error).toBeInstanceOf(APIError);
    expect(error.error).toMatchObject({ type: 'error', error: { type: 'api_error' } });
  });

  it('also for the wrong method', async () => {
    const { server } = await start(() => () => [5]);
    const response = await fetch(`${server.url}/v1/messages`);
    expect(response.status).toBe(405);
    expect(await response.json()).toMatchObject({ type: 'error', error: { type: 'invalid_request_error' } });
  });
});
