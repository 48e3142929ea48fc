import type OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';
import { toolTemplate as template } from '../fixtures/tool-template.ts';

const weather = {
  type: 'function' as const,
  name: 'get_weather',
  description: 'The weather.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  strict: false,
};
const call = (city: string) =>
  `<tool_call>\n{"name": "get_weather", "arguments": {"city": "${city}"}}\n</tool_call>`;
const ask = { model: 'tales', input: 'Weather?', tools: [weather] };

const answering = (...answers: string[]) =>
  startGateway((model) => () => model.tokens(answers.shift()!), { template });

const called = (city: string) => ({
  type: 'function_call',
  id: expect.stringMatching(/^fc_/),
  call_id: expect.stringMatching(/^call_/),
  name: 'get_weather',
  arguments: `{"city": "${city}"}`,
  status: 'completed',
});
const said = (text: string) => ({
  type: 'message',
  status: 'completed',
  content: [{ type: 'output_text', text }],
});

describe('tools of POST /v1/responses', () => {
  it('are shown to the model as its template has them, and called in items of their own', async () => {
    const { client, engine, tokens } = await answering(`I look.\n${call('Rome')}\n${call('Oslo')}`);
    const response = await client.responses.create(ask);
    expect(response.output).toMatchObject([said('I look.'), called('Rome'), called('Oslo')]);
    expect(response).toMatchObject({ status: 'completed', tool_choice: 'auto', tools: [weather] });
    const { name, description, parameters } = weather;
    const tool = JSON.stringify({ type: 'function', function: { name, description, parameters } });
    const shown = tokens(`<tool>${tool.replaceAll(':', ': ').replaceAll(',', ', ')}</tool>\n`);
    const { prompt, grammar } = engine.calls[0]!.request;
    expect(prompt.slice(0, shown.length - 1)).toEqual(shown.slice(0, -1));
    expect(grammar).toBeDefined();
  });

  it('stream: item after item, the arguments in pieces', async () => {
    const { client } = await answering(`I look.${call('Rome')}${call('Oslo')}`);
    const events = [];
    for await (const event of await client.responses.create({ ...ask, stream: true })) events.push(event);
    expect(events.map((event) => event.sequence_number)).toEqual(events.map((_, index) => index));
    const order = events.flatMap((event) =>
      event.type === 'response.output_item.added' || event.type === 'response.output_item.done'
        ? [`${event.type.slice(21)} ${event.output_index} ${event.item.type}`]
        : [],
    );
    expect(order).toEqual([
      'added 0 message',
      'done 0 message',
      'added 1 function_call',
      'done 1 function_call',
      'added 2 function_call',
      'done 2 function_call',
    ]);
    const pieces = events.flatMap((event) =>
      event.type === 'response.function_call_arguments.delta' && event.output_index === 1
        ? [event.delta]
        : [],
    );
    expect(pieces.length).toBeGreaterThan(1);
    expect(pieces.join('')).toBe('{"city": "Rome"}');
    expect(events.find(({ type }) => type === 'response.function_call_arguments.done')).toMatchObject({
      name: 'get_weather',
      arguments: '{"city": "Rome"}',
    });
    const last = events.at(-1) as OpenAI.Responses.ResponseCompletedEvent;
    expect(last.response.output).toMatchObject([said('I look.'), called('Rome'), called('Oslo')]);
  });

  it("work with the client's own stream helper", async () => {
    const { client } = await answering(call('Rome'));
    const { output } = await client.responses.stream(ask).finalResponse();
    expect(output).toMatchObject([called('Rome')]);
  });

  it('take results back, after the calls as they came', async () => {
    const { client, engine, tokens } = await answering(`I look.\n${call('Rome')}\n${call('Oslo')}`, 'Sunny.');
    const { output } = await client.responses.create(ask);
    const input = [
      { role: 'user', content: 'Weather?' },
      ...output,
      ...output.flatMap((item) =>
        item.type === 'function_call'
          ? [{ type: 'function_call_output' as const, call_id: item.call_id, output: '25 degrees' }]
          : [],
      ),
    ] as OpenAI.Responses.ResponseInput;
    const response = await client.responses.create({ ...ask, input });
    expect(response.output).toMatchObject([said('Sunny.')]);
    const end = tokens(
      `[user] Weather?\n[assistant] I look.\n${call('Rome')}\n${call('Oslo')}\n` +
        '[tool] 25 degrees\n[tool] 25 degrees\n[assistant] ',
    );
    expect(engine.calls[1]!.request.prompt.slice(-end.length)).toEqual(end);
    const { input_tokens } = await client.responses.inputTokens.count({ ...ask, input });
    expect(input_tokens).toBe(engine.calls[1]!.request.prompt.length);
  });

  it('are chosen by the client: none, required, one', async () => {
    const { client, engine } = await answering('Hi', call('Rome'), call('Rome'), call('Rome'));
    const tools = [weather, { ...weather, name: 'other' }];
    const choose = (tool_choice: OpenAI.Responses.ResponseCreateParams['tool_choice']) =>
      client.responses.create({ ...ask, tools, tool_choice: tool_choice! });
    expect((await choose('none')).output).toMatchObject([said('Hi')]);
    await choose('auto');
    await choose('required');
    await choose({ type: 'function', name: 'get_weather' });
    const [none, ...others] = engine.calls.map(({ request }) => JSON.stringify(request.grammar));
    expect(none).toBeUndefined();
    expect(new Set(others).size).toBe(3);
  });

  it('a call that the limit cuts off is incomplete', async () => {
    const { client, tokens } = await answering(call('a very long name of a town'));
    const max_output_tokens = tokens(call('a very long name of a town').split(' of')[0]!).length;
    const response = await client.responses.create({ ...ask, max_output_tokens });
    expect(response).toMatchObject({
      status: 'incomplete',
      output: [{ type: 'function_call', status: 'incomplete' }],
    });
  });

  it.each([
    [{ tools: [{ type: 'web_search' }] }, 'tools[0].type'],
    [{ tools: [], tool_choice: 'required' }, 'tool_choice'],
    [{ tool_choice: { type: 'function', name: 'f' } }, 'tool_choice'],
  ])('refuse %j by its place', async (fields, param) => {
    const { client } = await answering('Hi');
    const request = client.responses.create({ ...ask, ...fields } as never);
    await expect(request).rejects.toMatchObject({ status: 400, param });
  });
});

describe('text.format of POST /v1/responses', () => {
  it('holds the text to a schema', async () => {
    const { client, engine } = await answering('{"a": 1}', '{}');
    const schema = { type: 'object', properties: { a: { type: 'integer' } } };
    const format = { type: 'json_schema' as const, name: 'x', schema };
    const response = await client.responses.create({ model: 'tales', input: 'x', text: { format } });
    expect(response.text!.format).toMatchObject(format);
    await client.responses.create({ model: 'tales', input: 'x', text: { format: { type: 'json_object' } } });
    const [one, other] = engine.calls.map(({ request }) => request.grammar);
    expect(one).toBeDefined();
    expect(other).toBeDefined();
    expect(one).not.toEqual(other);
    const wrong = { ...format, schema: { type: 'hiccup' } };
    await expect(
      client.responses.create({ model: 'tales', input: 'x', text: { format: wrong } }),
    ).rejects.toMatchObject({ status: 400, param: 'text.format.schema', code: 'invalid_grammar' });
  });
});
