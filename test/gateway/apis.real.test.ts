import Anthropic from '@anthropic-ai/sdk';
import { expect, it, onTestFinished } from 'vitest';
import { openStore } from '../../artifact/store/open.ts';
import { registryOf } from '../../functions/gateway/model-registry.ts';
import { createModelService } from '../../functions/gateway/model-service.ts';
import { serve } from '../../functions/gateway/serve.ts';
import { loadModel } from '../../functions/model/load-model.ts';
import { clientOf } from '../fixtures/gateway.ts';
import { storedPico } from '../fixtures/served-pico.ts';
import { toolTemplate } from '../fixtures/tool-template.ts';

async function servePico(chatTemplate?: string) {
  const { storeUrl } = await storedPico('llama', {
    contextLength: 1024,
    ...(chatTemplate && { chatTemplate }),
  });
  const store = await openStore(storeUrl);
  const service = createModelService({
    name: 'pico',
    load: (signal) => loadModel(store, 'pico', { slots: 2, threads: 1, spinning: false, signal }),
  });
  const server = await serve(registryOf(service), { port: 0, host: '127.0.0.1' });
  onTestFinished(() => server.close(0));
  const anthropic = new Anthropic({ baseURL: server.url, apiKey: 'any', maxRetries: 0 });
  return { client: clientOf(server), anthropic };
}

it('a question has one answer, by whichever interface it is asked', async () => {
  const { client, anthropic } = await servePico();
  const messages = [{ role: 'user' as const, content: 'Tell me of a fox.' }];
  const common = { model: 'pico', temperature: 0 };
  const chat = await client.chat.completions.create({ ...common, messages, max_tokens: 20 });
  const { content } = chat.choices[0]!.message;
  expect(content!.length).toBeGreaterThan(0);

  const response = { ...common, input: messages, max_output_tokens: 20 };
  expect((await client.responses.create(response)).output_text).toBe(content);
  expect((await client.responses.stream(response).finalResponse()).output_text).toBe(content);

  const message = { ...common, messages, max_tokens: 20 } as Anthropic.MessageCreateParamsNonStreaming;
  const whole = await anthropic.messages.create(message);
  expect(whole.content).toEqual([{ type: 'text', text: content }]);
  // What was read for the others need not be read again, and is counted apart.
  const { input_tokens, cache_read_input_tokens: cached } = whole.usage;
  expect(input_tokens + cached!).toBe(chat.usage!.prompt_tokens);
  expect(cached).toBeGreaterThan(0);
  expect(await anthropic.messages.stream(message).finalText()).toBe(content);
});

it('a model that knows nothing calls a tool as its schema says, by each interface', async () => {
  const { client, anthropic } = await servePico(toolTemplate);
  const parameters = {
    type: 'object' as const,
    properties: { unit: { enum: ['C', 'F'] } },
    required: ['unit'],
    additionalProperties: false,
  };
  const isUnit = expect.stringMatching(/^[CF]$/);
  const response = await client.responses.create({
    model: 'pico',
    input: 'Weather?',
    tools: [{ type: 'function', name: 'weather', parameters, strict: true }],
    tool_choice: 'required',
    parallel_tool_calls: false,
    max_output_tokens: 500,
  });
  const [call, ...others] = response.output;
  expect(others).toEqual([]);
  if (call?.type !== 'function_call') throw new Error(`It should be a call: ${JSON.stringify(call)}`);
  expect(JSON.parse(call.arguments)).toEqual({ unit: isUnit });
  const message = await anthropic.messages
    .stream({
      model: 'pico',
      messages: [{ role: 'user', content: 'Weather?' }],
      tools: [{ name: 'weather', input_schema: parameters }],
      tool_choice: { type: 'any', disable_parallel_tool_use: true },
      max_tokens: 500,
    })
    .finalMessage();
  expect(message.stop_reason).toBe('tool_use');
  expect(message.content).toMatchObject([{ type: 'tool_use', name: 'weather', input: { unit: isUnit } }]);
});
