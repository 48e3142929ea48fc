import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { openStore } from '../../artifact/store/open.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { registryOf } from '../../functions/gateway/model-registry.ts';
import { createModelService } from '../../functions/gateway/model-service.ts';
import { type RunningServer, serve } from '../../functions/gateway/serve.ts';
import { loadModel } from '../../functions/model/load-model.ts';
import { foldInto } from '../fixtures/fold-into.ts';
import { clientOf } from '../fixtures/gateway.ts';
import { realModel } from '../fixtures/models.ts';

let started: Promise<{ folder: string; server: RunningServer; client: OpenAI }> | undefined;
let client: OpenAI;

beforeEach(async (ctx) => {
  const path = realModel(ctx, 'qwen');
  started ??= start(path);
  ({ client } = await started);
});
afterAll(async () => {
  const running = await started;
  await running?.server.close(0);
  if (running) await rm(running.folder, { recursive: true });
});

async function start(path: string) {
  const folder = await mkdtemp(join(tmpdir(), 'foldgate-structured-'));
  const checkpoint = await openCheckpoint(path);
  await foldInto(folder, checkpoint, { name: 'qwen', quantize: 'int8' });
  await checkpoint.close();
  const store = await openStore(`file:${folder}/store`);
  const service = createModelService({
    name: 'qwen',
    load: (signal) => loadModel(store, 'qwen', { contextLength: 2048, slots: 2, signal }),
  });
  const server = await serve(registryOf(service), { port: 0, host: '127.0.0.1' });
  return { folder, server, client: clientOf(server) };
}

const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Get the current weather in a city.',
    parameters: {
      type: 'object',
      properties: {
        city: { type: 'string', description: 'The name of the city' },
        unit: { type: 'string', enum: ['celsius', 'fahrenheit'] },
      },
      required: ['city', 'unit'],
      additionalProperties: false,
    },
  },
} as const;
const question = { role: 'user', content: 'What is the weather in Paris, in celsius?' } as const;
const greedy = { model: 'qwen', temperature: 0 };

function callOf(message: OpenAI.ChatCompletionMessage) {
  const call = message.tool_calls?.[0];
  if (call?.type !== 'function') throw new Error(`There is no call in ${JSON.stringify(message)}.`);
  return call;
}

describe('Qwen2.5-Coder', () => {
  it('calls a tool of its own will, and answers with what it gave', async () => {
    const asked = { ...greedy, messages: [question], tools: [weather] };
    const first = await client.chat.completions.create(asked);
    const { message, finish_reason } = first.choices[0]!;
    expect(finish_reason).toBe('tool_calls');
    const call = callOf(message);
    expect(call.function.name).toBe('get_weather');
    expect(JSON.parse(call.function.arguments)).toEqual({ city: 'Paris', unit: 'celsius' });
    const second = await client.chat.completions.create({
      ...asked,
      max_tokens: 60,
      messages: [question, message, { role: 'tool', tool_call_id: call.id, content: '{"temperature": 21}' }],
    });
    expect(second.choices[0]!.message.content).toContain('21');
  });

  it('streams the call that it has to make', async () => {
    const stream = client.chat.completions.stream({
      ...greedy,
      messages: [{ role: 'user', content: 'Hello!' }],
      tools: [weather],
      tool_choice: 'required',
      parallel_tool_calls: false,
    });
    const { message } = (await stream.finalChatCompletion()).choices[0]!;
    const validate = new Ajv2020({ strict: false }).compile(weather.function.parameters);
    expect(validate(JSON.parse(callOf(message).function.arguments))).toBe(true);
  });

  it('fills in a form', async () => {
    const Person = z.object({
      name: z.string(),
      age: z.int().min(0).max(150),
      born: z.iso.date(),
      hobbies: z.array(z.string()).min(1).max(4),
      email: z.email().nullable(),
    });
    const answer = await client.chat.completions.parse({
      ...greedy,
      max_tokens: 200,
      messages: [
        {
          role: 'user',
          content:
            'Extract the person: Ada Lovelace, 36 years old, born on 1815-12-10, likes maths and horses.',
        },
      ],
      response_format: zodResponseFormat(Person, 'person'),
    });
    const { finish_reason, message } = answer.choices[0]!;
    expect(finish_reason).toBe('stop');
    expect(message.parsed).toMatchObject({ name: 'Ada Lovelace', age: 36, born: '1815-12-10' });
  });

  it('writes a JSON object where nothing more is said', async () => {
    const { choices } = await client.chat.completions.create({
      ...greedy,
      max_tokens: 200,
      messages: [{ role: 'user', content: 'Give me a JSON object with a fruit and its color.' }],
      response_format: { type: 'json_object' },
    });
    expect(choices[0]!.finish_reason).toBe('stop');
    expect(Object.keys(JSON.parse(choices[0]!.message.content!)).length).toBeGreaterThan(0);
  });

  it.each(['json_schema', 'regex'])('keeps to a %s at a high temperature', async (kind) => {
    const fields =
      kind === 'regex'
        ? { guided_regex: '[A-Z][a-z]{2,8}, \\d{1,2}' }
        : { guided_json: weather.function.parameters };
    const { choices } = await client.chat.completions.create({
      model: 'qwen',
      messages: [question],
      temperature: 2,
      n: 4,
      max_tokens: 120,
      ...fields,
    });
    const validate = new Ajv2020({ strict: false }).compile(weather.function.parameters);
    for (const { message, finish_reason } of choices) {
      if (finish_reason === 'length') continue;
      if (kind === 'regex') expect(message.content).toMatch(/^[A-Z][a-z]{2,8}, \d{1,2}$/);
      else expect(validate(JSON.parse(message.content!))).toBe(true);
    }
  });
});
