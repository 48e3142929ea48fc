import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type OpenAI from 'openai';
import { BadRequestError } from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { openStore } from '../../artifact/store/open.ts';
import { registryOf } from '../../functions/gateway/model-registry.ts';
import { createModelService } from '../../functions/gateway/model-service.ts';
import { type RunningServer, serve } from '../../functions/gateway/serve.ts';
import { loadModel } from '../../functions/model/load-model.ts';
import { clientOf } from '../fixtures/gateway.ts';
import { storedPico } from '../fixtures/served-pico.ts';
import { toolTemplate } from '../fixtures/tool-template.ts';

/** A model that knows nothing: what is right in its answers is the grammar's doing. */
let server: RunningServer;
let client: OpenAI;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldgate-structured-'));
  const pico = { chatTemplate: toolTemplate, contextLength: 2048, folder };
  const { storeUrl } = await storedPico('llama', pico);
  const store = await openStore(storeUrl);
  const options = { slots: 4, threads: 1, spinning: false };
  const service = createModelService({
    name: 'pico',
    load: (signal) => loadModel(store, 'pico', { ...options, signal }),
  });
  server = await serve(registryOf(service), { port: 0, host: '127.0.0.1' });
  client = clientOf(server);
});
afterAll(async () => {
  await server.close(0);
  await rm(folder, { recursive: true });
});

const messages = [{ role: 'user', content: 'Hi' }] as const;
const chat = { model: 'pico', messages: [...messages], seed: 1 };

async function textOf(fields: object): Promise<string> {
  const { choices } = await client.chat.completions.create({ ...chat, ...fields });
  expect(choices[0]!.finish_reason).toBe('stop');
  return choices[0]!.message.content!;
}

const Person = z.object({
  kind: z.enum(['cat', 'dog']),
  age: z.int().min(1).max(30),
  tags: z.array(z.enum(['a', 'b'])).max(3),
  owner: z.object({ name: z.string().max(8), vip: z.boolean() }).nullable(),
});

describe('structured output', () => {
  it("parses with the client's zod helper", async () => {
    const answer = await client.chat.completions.parse({
      ...chat,
      response_format: zodResponseFormat(Person, 'person'),
    });
    expect(answer.choices[0]!.finish_reason).toBe('stop');
    const person = answer.choices[0]!.message.parsed!;
    expect(Person.parse(person)).toEqual(person);
  });

  it('streams as it goes', async () => {
    const stream = client.chat.completions.stream({
      ...chat,
      response_format: zodResponseFormat(Person, 'p'),
    });
    const { parsed } = (await stream.finalChatCompletion()).choices[0]!.message;
    expect(Person.parse(parsed)).toEqual(parsed);
  });

  it.each<[string, object, (text: string) => boolean]>([
    [
      'response_format',
      { response_format: { type: 'json_schema', json_schema: { name: 'a', schema: { enum: ['x', 1] } } } },
      isOneOf('"x"', '1'),
    ],
    ['guided_json', { guided_json: { type: 'integer', minimum: 7, maximum: 9 } }, isOneOf('7', '8', '9')],
    ['guided_json as text', { guided_json: '{"const": "ä"}' }, isOneOf('"ä"')],
    ['json_schema', { json_schema: { const: [1] } }, isOneOf('[1]')],
    ['guided_regex', { guided_regex: '\\d{3}-[a-c]{2}' }, matches(/^\d{3}-[a-c]{2}$/)],
    ['guided_choice', { guided_choice: ['ja "doch"', 'nein'] }, isOneOf('ja "doch"', 'nein')],
    [
      'guided_grammar',
      { guided_grammar: 'root ::= [x-z] "!" | "日" [ä-ö]' },
      matches(/^(?:[xyz]!|日[ä-ö])$/),
    ],
    ['grammar', { grammar: 'root ::= "\\x41b"{2} # twice' }, isOneOf('AbAb')],
    ['structured_outputs.json', { structured_outputs: { json: { type: 'null' } } }, isOneOf('null')],
    ['structured_outputs.regex', { structured_outputs: { regex: 'a{4}' } }, isOneOf('aaaa')],
    ['structured_outputs.choice', { structured_outputs: { choice: ['one'] } }, isOneOf('one')],
    ['structured_outputs.grammar', { structured_outputs: { grammar: 'root ::= "g"' } }, isOneOf('g')],
  ])('%s says what the text is', async (_field, fields, isRight) => {
    const text = await textOf(fields);
    expect(text).toSatisfy(isRight);
    const { choices } = await client.completions.create({
      model: 'pico',
      prompt: 'Once',
      max_tokens: 200,
      ...fields,
    });
    expect(choices[0]!.text).toSatisfy(isRight);
    expect(choices[0]!.finish_reason).toBe('stop');
  });

  it('json_object is an object, where the limit lets it end', async () => {
    const { choices } = await client.chat.completions.create({
      ...chat,
      n: 8,
      max_tokens: 1500,
      response_format: { type: 'json_object' },
    });
    const ended = choices.filter(({ finish_reason }) => finish_reason === 'stop');
    expect(ended.length).toBeGreaterThan(0);
    for (const { message } of ended) expect(JSON.parse(message.content!)).toBeTypeOf('object');
    for (const { message } of choices) expect(message.content).toMatch(/^\{/);
  });

  it('is cut off by the token limit, which the finish reason tells', async () => {
    const { choices } = await client.chat.completions.create({
      ...chat,
      max_tokens: 4,
      response_format: { type: 'json_schema', json_schema: { name: 'a', schema: { const: 'long enough' } } },
    });
    expect(choices[0]!.finish_reason).toBe('length');
    expect('"long enough"').toContain(choices[0]!.message.content);
  });

  it('ends where it has to, also where the end of text is ignored', async () => {
    expect(await textOf({ guided_regex: 'ab?', ignore_eos: true })).toBe('ab');
    const { choices } = await client.chat.completions.create({
      ...chat,
      ...{ guided_regex: 'a+', ignore_eos: true },
      max_tokens: 20,
    });
    expect(choices[0]).toMatchObject({ finish_reason: 'length', message: { content: 'a'.repeat(20) } });
  });

  it('of several completions is each its own', async () => {
    const { choices } = await client.chat.completions.create({
      ...chat,
      n: 6,
      ...{ guided_regex: '[a-z]{12}' },
    });
    const texts = choices.map(({ message }) => message.content!);
    for (const text of texts) expect(text).toMatch(/^[a-z]{12}$/);
    expect(new Set(texts).size).toBe(6);
  });

  it.each<[object, string, string]>([
    [
      { response_format: { type: 'json_schema', json_schema: { name: 'a', schema: { type: 'x' } } } },
      'response_format.json_schema.schema',
      '#/type',
    ],
    [
      {
        response_format: {
          type: 'json_schema',
          json_schema: { name: 'a', strict: true, schema: { not: {} } },
        },
      },
      'response_format.json_schema.schema',
      'not is not supported',
    ],
    [{ response_format: { type: 'yaml' } }, 'response_format.type', 'json_schema'],
    [{ response_format: { type: 'json_schema' } }, 'response_format.json_schema', 'expected object'],
    [{ guided_json: '{' }, 'guided_json', 'JSON schema, as an object or as text'],
    [{ guided_json: 7 }, 'guided_json', 'JSON schema'],
    [{ guided_regex: '(' }, 'guided_regex', 'Unterminated group'],
    [{ guided_regex: '(?=a)' }, 'guided_regex', 'a look-ahead'],
    [{ guided_grammar: 'root ::= x' }, 'guided_grammar', 'Rule "x" is not defined'],
    [{ grammar: '' }, 'grammar', 'root'],
    [{ structured_outputs: { choice: [] } }, 'structured_outputs.choice', 'expected array to have >=1'],
    [{ guided_regex: 'a', guided_choice: ['b'] }, 'guided_choice', 'both say what the text has to be'],
  ])('%j is refused: %s', async (fields, param, reason) => {
    for (const stream of [false, true]) {
      const request = client.chat.completions.create({ ...chat, ...fields, stream } as never);
      await expect(request).rejects.toThrow(BadRequestError);
      await expect(request).rejects.toMatchObject({ param });
      await expect(request).rejects.toThrow(reason);
    }
  });

  it('left out in all forms leaves the text free', async () => {
    const fields = {
      response_format: { type: 'text' },
      guided_json: null,
      structured_outputs: {},
      tools: [],
    } as never;
    const { choices } = await client.chat.completions.create({
      ...chat,
      ...(fields as object),
      max_tokens: 3,
    });
    expect(choices).toHaveLength(1);
  });
});

const tool = (name: string, parameters?: object) => ({
  type: 'function' as const,
  function: { name, ...(parameters && { parameters: parameters as Record<string, unknown> }) },
});
const move = tool('move', {
  type: 'object',
  properties: { to: { enum: ['left', 'right'] }, steps: { type: 'integer', minimum: 1, maximum: 9 } },
  required: ['to', 'steps'],
});
const Move = z.strictObject({ to: z.enum(['left', 'right']), steps: z.int().min(1).max(9) });
const tools = [move, tool('wait')];

describe('tool calls of a model that knows nothing', () => {
  it('are made where they are required, with arguments that meet the schema', async () => {
    const { choices } = await client.chat.completions.create({
      ...chat,
      tools,
      tool_choice: 'required',
      n: 5,
    });
    const names = new Set<string>();
    for (const { message, finish_reason } of choices) {
      if (finish_reason === 'length') continue;
      expect(finish_reason).toBe('tool_calls');
      expect(message.content).toBeNull();
      for (const call of message.tool_calls!) {
        if (call.type !== 'function') throw new Error('no function');
        names.add(call.function.name);
        const given = JSON.parse(call.function.arguments);
        if (call.function.name === 'move') Move.parse(given);
        else expect(given).toEqual({});
      }
    }
    expect(names.size).toBeGreaterThan(0);
  });

  it('are of the tool that is named, once', async () => {
    const { choices } = await client.chat.completions.create({
      ...chat,
      n: 4,
      tools,
      tool_choice: { type: 'function', function: { name: 'move' } },
    });
    for (const { message, finish_reason } of choices) {
      expect(finish_reason).toBe('tool_calls');
      expect(message.tool_calls).toMatchObject([{ function: { name: 'move' } }]);
    }
  });

  it('are one at most where they are not to be parallel', async () => {
    const { choices } = await client.chat.completions.create({
      ...chat,
      n: 4,
      tools,
      tool_choice: 'required',
      parallel_tool_calls: false,
    });
    for (const { message } of choices) expect(message.tool_calls).toHaveLength(1);
  });

  it('stream', async () => {
    const stream = client.chat.completions.stream({
      ...chat,
      tools,
      tool_choice: { type: 'function', function: { name: 'move' } },
    });
    const { message, finish_reason } = (await stream.finalChatCompletion()).choices[0]!;
    expect(finish_reason).toBe('tool_calls');
    const call = message.tool_calls![0]!;
    if (call.type !== 'function') throw new Error('no function');
    Move.parse(JSON.parse(call.function.arguments));
  });

  it('or text of a structure, where both are asked for', async () => {
    const { choices } = await client.chat.completions.create({
      ...chat,
      n: 8,
      tools: [move],
      parallel_tool_calls: false,
      response_format: { type: 'json_schema', json_schema: { name: 'a', schema: { enum: ['<x', '<y'] } } },
    });
    for (const { message } of choices) {
      if (message.tool_calls) expect(message.content).toBeNull();
      else expect(['"<x"', '"<y"']).toContain(message.content);
    }
  });

  it('may be none', async () => {
    const { choices } = await client.chat.completions.create({ ...chat, tools, max_tokens: 30 });
    expect(['stop', 'length', 'tool_calls']).toContain(choices[0]!.finish_reason);
  });
});

function isOneOf(...texts: string[]) {
  return (text: string) => texts.includes(text);
}

function matches(expression: RegExp) {
  return (text: string) => expression.test(text);
}
