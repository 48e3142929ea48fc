import { readFileSync } from 'node:fs';
import { BadRequestError } from 'openai';
import { describe, expect, it } from 'vitest';
import { startGateway } from '../fixtures/gateway.ts';
import { toolTemplate as template } from '../fixtures/tool-template.ts';

const user = { role: 'user', content: 'Weather?' } as const;
const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
} as const;
const call = (city: string) =>
  `<tool_call>\n{"name": "get_weather", "arguments": {"city": "${city}"}}\n</tool_call>`;
const body = { model: 'tales', messages: [user], tools: [weather] };

const answering = (text: string, options = {}) =>
  startGateway((model) => () => model.tokens(text), { template, ...options });

describe('tool calls', () => {
  it('come apart from the text', async () => {
    const { client } = await answering(`I look it up.\n${call('Rome')}\n${call('a \\"} b')}`);
    const { choices } = await client.chat.completions.create(body);
    expect(choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        role: 'assistant',
        content: 'I look it up.',
        tool_calls: [
          { type: 'function', function: { name: 'get_weather', arguments: '{"city": "Rome"}' } },
          { type: 'function', function: { name: 'get_weather', arguments: '{"city": "a \\"} b"}' } },
        ],
      },
    });
    const ids = choices[0]!.message.tool_calls!.map(({ id }) => id);
    expect(ids[0]).toMatch(/^call_[0-9a-f]{24}$/);
    expect(new Set(ids).size).toBe(2);
  });

  it('have no content beside them where there is none', async () => {
    const { client } = await answering(call('Rome'));
    const { choices } = await client.chat.completions.create(body);
    expect(choices[0]!.message.content).toBeNull();
  });

  it('stream: index, id and name first, then the arguments in pieces', async () => {
    const { client } = await answering(`Well.${call('Rome')}${call('Oslo')}`);
    const chunks = [];
    for await (const chunk of await client.chat.completions.create({ ...body, stream: true }))
      chunks.push(chunk);
    const choices = chunks.map(({ choices }) => choices[0]!);
    const calls = choices.flatMap(({ delta }) => delta.tool_calls ?? []);
    const heads = calls.filter(({ id }) => id !== undefined);
    expect(heads.map(({ index, function: f, type }) => ({ index, name: f!.name, type }))).toEqual([
      { index: 0, name: 'get_weather', type: 'function' },
      { index: 1, name: 'get_weather', type: 'function' },
    ]);
    const argumentsOf = (index: number) =>
      calls.filter((one) => one.index === index).map((one) => one.function!.arguments);
    expect(argumentsOf(0).join('')).toBe('{"city": "Rome"}');
    expect(argumentsOf(1).join('')).toBe('{"city": "Oslo"}');
    expect(argumentsOf(0).length).toBeGreaterThan(2);
    expect(choices.map(({ delta }) => delta.content ?? '').join('')).toBe('Well.');
    expect(choices.at(-1)).toMatchObject({ delta: {}, finish_reason: 'tool_calls' });
  });

  it("work with the client's own stream helper", async () => {
    const { client } = await answering(`Well. ${call('Rome')}`);
    const stream = client.chat.completions.stream(body);
    const { message } = (await stream.finalChatCompletion()).choices[0]!;
    expect(message.content).toBe('Well.');
    expect(message.tool_calls).toMatchObject([
      { function: { name: 'get_weather', arguments: '{"city": "Rome"}' } },
    ]);
  });

  it("work with the client's runTools: the result goes back to the model", async () => {
    const answers = [call('Rome'), 'It is sunny.'];
    const { client, engine, tokens } = await startGateway((model) => () => model.tokens(answers.shift()!), {
      template,
    });
    const asked: unknown[] = [];
    const runner = client.chat.completions.runTools({
      model: 'tales',
      messages: [user],
      tools: [
        {
          type: 'function',
          function: {
            name: 'get_weather',
            description: 'The weather.',
            parameters: weather.function.parameters as never,
            parse: JSON.parse as (text: string) => object,
            function: (given: object) => {
              asked.push(given);
              return { weather: 'sunny' };
            },
          },
        },
      ],
    });
    expect(await runner.finalContent()).toBe('It is sunny.');
    expect(asked).toEqual([{ city: 'Rome' }]);
    const last = engine.calls[1]!.request.prompt;
    const result = tokens('[tool] {"weather":"sunny"}\n[assistant] ');
    expect(last.slice(-result.length)).toEqual(result);
  });

  it('may begin with a control token, and have the ids that the template takes', async () => {
    const template = readFileSync(new URL('../fixtures/tools/mistral.jinja', import.meta.url), 'utf8');
    const { client, engine } = await answering(
      '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Rome"}}]',
      { template, controlTokens: ['[TOOL_CALLS]'] },
    );
    const { choices } = await client.chat.completions.create(body);
    const { message } = choices[0]!;
    expect(message).toMatchObject({
      content: null,
      tool_calls: [{ function: { name: 'get_weather', arguments: '{"city": "Rome"}' } }],
    });
    const id = message.tool_calls![0]!.id;
    expect(id).toMatch(/^[a-z0-9]{9}$/);
    const result = { role: 'tool', tool_call_id: id, content: 'sunny' } as const;
    await client.chat.completions.create({ ...body, messages: [user, message, result] });
    expect(engine.calls).toHaveLength(2);
  });

  it('are cut off by the token limit as they are', async () => {
    const { client, tokens } = await answering(call('Rome'));
    const cut = tokens(call('Rome').slice(0, -20)).length;
    const { choices } = await client.chat.completions.create({ ...body, max_tokens: cut });
    expect(choices[0]!.finish_reason).toBe('length');
    expect(choices[0]!.message.tool_calls).toMatchObject([
      { function: { arguments: expect.stringMatching(/^\{"city": "R?o?m?e?/) } },
    ]);
  });

  it('text that only looks like a call stays text', async () => {
    const { client } = await answering('a <tool and <tool_');
    const { choices } = await client.chat.completions.create(body);
    expect(choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: 'a <tool and <tool_' } });
    expect(choices[0]!.message.tool_calls).toBeUndefined();
  });
});

describe('tools', () => {
  it('reach the model through its template, with calls and results', async () => {
    const { client, engine, tokens } = await answering('Fine.');
    const made = {
      id: 'call_1',
      type: 'function',
      function: { name: 'get_weather', arguments: '{"city":"Rome"}' },
    };
    await client.chat.completions.create({
      ...body,
      messages: [
        user,
        { role: 'assistant', content: null, tool_calls: [{ ...made, type: 'function' }] },
        { role: 'tool', tool_call_id: 'call_1', content: [{ type: 'text', text: 'sunny' }] },
      ],
    });
    const tool =
      '{"type": "function", "function": {"name": "get_weather", "description": "The weather.", "parameters": ' +
      '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}';
    const prompt =
      `<tool>${tool}</tool>\nCalls: <tool_call>{"name": ..., "arguments": ...}</tool_call>\n[user] Weather?\n[assistant] \n` +
      '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>\n[tool] sunny\n[assistant] ';
    expect(engine.calls[0]!.request.prompt).toEqual(tokens(prompt));
  });

  it('do not, where the model is to call none', async () => {
    const { client, engine, tokens } = await answering(call('Rome'), { template: undefined });
    const { choices } = await client.chat.completions.create({ ...body, tool_choice: 'none' });
    expect(engine.calls[0]!.request.prompt).toEqual(tokens('[user] Weather?\n[assistant] '));
    expect(engine.calls[0]!.request.grammar).toBeUndefined();
    expect(choices[0]!.message.content).toBe(call('Rome'));
  });

  it.each<[string, object, string, string, { template?: string }?]>([
    [
      'a template without tools',
      {},
      'tools',
      'tools_not_supported',
      { template: "{{ messages[0]['content'] }}" },
    ],
    [
      'tools in an unknown form',
      {},
      'tools',
      'tools_not_supported',
      { template: '{{ tools }}{{ messages }}' },
    ],
    [
      'results for a model without tools',
      { tools: [], messages: [user, { role: 'tool', tool_call_id: '1', content: 'x' }] },
      'messages',
      'tools_not_supported',
      { template: "{{ messages[0]['content'] }}" },
    ],
    [
      'a tool without a name',
      { tools: [{ type: 'function', function: {} }] },
      'tools[0].function.name',
      'invalid_value',
    ],
    ['another kind of tool', { tools: [{ type: 'web_search' }] }, 'tools[0].type', 'invalid_value'],
    ['a choice without tools', { tools: [], tool_choice: 'required' }, 'tool_choice', 'invalid_value'],
    [
      'a choice of an unknown tool',
      { tool_choice: { type: 'function', function: { name: 'x' } } },
      'tool_choice',
      'invalid_value',
    ],
    ['an unknown choice', { tool_choice: 'sometimes' }, 'tool_choice', 'invalid_value'],
    [
      'parameters that are no schema',
      {
        tools: [
          { type: 'function', function: { name: 'f', parameters: { type: 'object', properties: { a: 1 } } } },
        ],
      },
      'tools[0].function.parameters',
      'invalid_grammar',
    ],
    [
      'strict parameters that cannot be held',
      {
        tools: [
          {
            type: 'function',
            function: { name: 'f', strict: true, parameters: { properties: { a: { not: {} } } } },
          },
        ],
      },
      'tools[0].function.parameters',
      'invalid_grammar',
    ],
    ['an empty answer', { messages: [user, { role: 'assistant' }] }, 'messages[1].content', 'invalid_value'],
    [
      'a result of no call',
      { messages: [user, { role: 'tool', content: 'x' }] },
      'messages[1].tool_call_id',
      'invalid_value',
    ],
    ['a regular expression beside tools', { guided_regex: 'a' }, 'guided_regex', 'invalid_value'],
  ])('%s is refused by name', async (_what, changed, param, code, options = {}) => {
    const { client, engine } = await answering('x', options);
    const request = client.chat.completions.create({ ...body, ...changed } as never);
    await expect(request).rejects.toThrow(BadRequestError);
    await expect(request).rejects.toMatchObject({ param, code });
    expect(engine.calls).toHaveLength(0);
  });
});
