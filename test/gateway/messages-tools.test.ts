import Anthropic from '@anthropic-ai/sdk';
import { describe, expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';
import { toolTemplate as template } from '../fixtures/tool-template.ts';

const weather = {
  name: 'get_weather',
  description: 'The weather.',
  input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
} as const;
const call = (city: string) =>
  `<tool_call>\n{"name": "get_weather", "arguments": {"city": "${city}"}}\n</tool_call>`;
const ask = {
  model: 'tales',
  max_tokens: 200,
  messages: [{ role: 'user' as const, content: 'Weather?' }],
  tools: [weather as unknown as Anthropic.Tool],
};

async function answering(...answers: string[]) {
  const gateway = await startGateway((model) => () => model.tokens(answers.shift()!), { template });
  const anthropic = new Anthropic({ baseURL: gateway.server.url, apiKey: 'any', maxRetries: 0 });
  return { ...gateway, anthropic };
}

const used = (city: string) => ({
  type: 'tool_use',
  id: expect.stringMatching(/^call_/),
  name: 'get_weather',
  input: { city },
});

describe('tools of POST /v1/messages', () => {
  it('are shown to the model as its template has them, and used in blocks of their own', async () => {
    const { anthropic, engine, tokens } = await answering(`I look.\n${call('Rome')}\n${call('Oslo')}`);
    const message = await anthropic.messages.create(ask);
    expect(message.content).toEqual([{ type: 'text', text: 'I look.' }, used('Rome'), used('Oslo')]);
    expect(message.stop_reason).toBe('tool_use');
    const { name, description, input_schema: parameters } = weather;
    const tool = { type: 'function', function: { name, description, parameters } };
    const { prompt, grammar } = engine.calls[0]!.request;
    const json = JSON.stringify(tool).replaceAll(':', ': ').replaceAll(',', ', ');
    const shown = tokens(`<tool>${json}</tool>\n`);
    expect(prompt.slice(0, shown.length - 1)).toEqual(shown.slice(0, -1));
    expect(grammar).toBeDefined();
  });

  it('have no text beside them where there is none', async () => {
    const { anthropic } = await answering(call('Rome'));
    expect((await anthropic.messages.create(ask)).content).toEqual([used('Rome')]);
  });

  it('stream: block after block, the input in pieces', async () => {
    const { anthropic } = await answering(`I look.${call('Rome')}${call('Oslo')}`);
    const events = [];
    for await (const event of await anthropic.messages.create({ ...ask, stream: true })) events.push(event);
    const starts = events.filter((event) => event.type === 'content_block_start');
    expect(starts.map(({ index, content_block }) => [index, content_block.type])).toEqual([
      [0, 'text'],
      [1, 'tool_use'],
      [2, 'tool_use'],
    ]);
    // Every block is closed before the next one opens.
    const order = events.flatMap((event) =>
      event.type === 'content_block_start' || event.type === 'content_block_stop'
        ? [`${event.type.slice(14)} ${event.index}`]
        : [],
    );
    expect(order).toEqual(['start 0', 'stop 0', 'start 1', 'stop 1', 'start 2', 'stop 2']);
    const pieces = events.flatMap((event) =>
      event.type === 'content_block_delta' && event.delta.type === 'input_json_delta' && event.index === 1
        ? [event.delta.partial_json]
        : [],
    );
    expect(pieces.length).toBeGreaterThan(1);
    expect(JSON.parse(pieces.join(''))).toEqual({ city: 'Rome' });
    expect(events.at(-2)).toMatchObject({ type: 'message_delta', delta: { stop_reason: 'tool_use' } });
  });

  it("work with the client's own stream helper", async () => {
    const { anthropic } = await answering(`I look.${call('Rome')}`);
    const { content } = await anthropic.messages.stream(ask).finalMessage();
    expect(content).toMatchObject([
      { type: 'text', text: 'I look.' },
      { type: 'tool_use', input: { city: 'Rome' } },
    ]);
  });

  it('take results back, beside text and earlier calls', async () => {
    const { anthropic, engine, tokens } = await answering(`I look.\n${call('Rome')}`, 'Sunny.');
    const { content } = await anthropic.messages.create(ask);
    const id = (content[1] as Anthropic.ToolUseBlock).id;
    const messages: Anthropic.MessageParam[] = [
      ...ask.messages,
      { role: 'assistant', content },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: id, content: [{ type: 'text', text: '25 degrees' }] },
          { type: 'text', text: 'In words, please.' },
        ],
      },
    ];
    const answer = await anthropic.messages.create({ ...ask, messages });
    expect(answer).toMatchObject({ stop_reason: 'end_turn', content: [{ type: 'text', text: 'Sunny.' }] });
    const end = tokens(
      `[user] Weather?\n[assistant] I look.\n${call('Rome')}\n[tool] 25 degrees\n[user] In words, please.\n[assistant] `,
    );
    expect(engine.calls[1]!.request.prompt.slice(-end.length)).toEqual(end);
    const { input_tokens } = await anthropic.messages.countTokens({
      model: 'tales',
      messages,
      tools: ask.tools,
    });
    expect(input_tokens).toBe(engine.calls[1]!.request.prompt.length);
  });

  it('are chosen by the client: none, any, one', async () => {
    const { anthropic, engine } = await answering('Hi', call('Rome'), call('Rome'), call('Rome'));
    const choose = (tool_choice?: Anthropic.ToolChoice) =>
      anthropic.messages.create({
        ...ask,
        tools: [...ask.tools, { ...ask.tools[0]!, name: 'other' }],
        ...(tool_choice && { tool_choice }),
      });
    expect((await choose({ type: 'none' })).content).toEqual([{ type: 'text', text: 'Hi' }]);
    await choose();
    await choose({ type: 'any', disable_parallel_tool_use: true });
    await choose({ type: 'tool', name: 'get_weather' });
    const [none, auto, any, one] = engine.calls.map(({ request }) => JSON.stringify(request.grammar));
    expect(none).toBeUndefined();
    expect(new Set([auto, any, one]).size).toBe(3);
  });

  it('an input that the limit cuts off is empty, not broken', async () => {
    const { anthropic, tokens } = await answering(call('a very long name of a town'));
    const max_tokens = tokens(call('a very long name of a town').split(' of')[0]!).length;
    const message = await anthropic.messages.create({ ...ask, max_tokens });
    expect(message.stop_reason).toBe('max_tokens');
    expect(message.content.filter(({ type }) => type === 'tool_use')).toMatchObject([{ input: {} }]);
  });

  it('are refused where the template does not know any', async () => {
    const gateway = await startGateway(() => () => [5]);
    const response = await gateway.post('/v1/messages', ask);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { message: expect.stringContaining('tools') } });
  });
});

describe('output_config of POST /v1/messages', () => {
  it('holds the text to a schema', async () => {
    const { anthropic, engine } = await answering('{}');
    const schema = { type: 'object', properties: {}, additionalProperties: false };
    const { tools: _, ...body } = ask;
    await anthropic.messages.create({ ...body, output_config: { format: { type: 'json_schema', schema } } });
    expect(engine.calls[0]!.request.grammar).toBeDefined();
    const error = await anthropic.messages
      .create({ ...body, output_config: { format: { type: 'json_schema', schema: { type: 'hiccup' } } } })
      .catch((error) => error);
    expect(error.status).toBe(400);
    expect(error.message).toContain('output_config.format.schema');
  });
});
