import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { expect, it, onTestFinished } from 'vitest';
import { storedPico } from '../fixtures/served-pico.ts';
import { serving } from '../fixtures/serving.ts';

const post = (url: string, body: object, headers: Record<string, string> = {}) =>
  fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers,
    body: JSON.stringify({
      model: 'pico',
      prompt: 'Once upon a secret',
      max_tokens: 4,
      ignore_eos: true,
      ...body,
    }),
  });

/** The lines of a log, each an object. */
const linesOf = (log: string) =>
  log
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

it('the log is JSON where no person reads it; no prompt and no key is in it', async () => {
  const { storeUrl } = await storedPico('llama');
  const server = await serving(storeUrl, [], { FOLDGATE_API_KEY: 'fg-very-secret' });
  await (
    await post(server.url, {}, { authorization: 'Bearer fg-very-secret', 'x-request-id': 'me-1' })
  ).text();
  await (await post(server.url, {}, { authorization: 'Bearer fg-wrong-secret' })).text();
  await fetch(`${server.url}/healthz`);
  await server.stop();
  const log = server.log();
  expect(log).not.toMatch(/secret/);
  const lines = linesOf(log);
  for (const line of lines)
    expect(line).toMatchObject({
      level: expect.any(String),
      time: expect.any(String),
      msg: expect.any(String),
    });
  const requests = lines.filter(({ route }) => route);
  expect(requests).toMatchObject([
    {
      level: 'info',
      request_id: 'me-1',
      route: '/v1/completions',
      status: 200,
      model: 'pico',
      key: expect.stringMatching(/^key-[0-9a-f]{8}$/),
      completion_tokens: 4,
      finish: ['length'],
      prefill_ms: expect.any(Number),
    },
    { status: 401, code: 'invalid_api_key' },
  ]);
});

it('the log has prompts and answers where it is told to', async () => {
  const { storeUrl } = await storedPico('llama');
  const server = await serving(storeUrl, ['--log-prompts']);
  const answer = (await (await post(server.url, {})).json()) as { choices: [{ text: string }] };
  await server.stop();
  const [request] = linesOf(server.log()).filter(({ route }) => route);
  expect(request).toMatchObject({ asked: 'Once upon a secret', answered: [answer.choices[0].text] });
});

it('the log is text where it is told to, and as loud as it is told to', async () => {
  const { storeUrl } = await storedPico('llama');
  const text = await serving(storeUrl, ['--log-format', 'text']);
  await (await post(text.url, {})).text();
  await text.stop();
  expect(text.log()).toMatch(/^POST \/v1\/completions 200 in \d+ ms: pico, \d+ \+ 4 tokens$/m);
});

it('metrics show what the engine does', async () => {
  const { storeUrl } = await storedPico('llama');
  const { url } = await serving(storeUrl);
  const value = async (name: string) => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(new RegExp(`^${name}{model_name="pico"} (\\S+)$`, 'm').exec(text)?.[1]);
  };
  const response = await post(url, { max_tokens: 100, n: 128, stream: true });
  const reader = response.body!.getReader();
  await reader.read();
  await expect.poll(() => value('vllm:num_requests_running')).toBe(8); // the slots
  expect(await value('vllm:num_requests_waiting')).toBeGreaterThan(0);
  expect(await value('vllm:kv_cache_usage_perc')).toBeGreaterThan(0);
  await reader.cancel();
  await expect.poll(() => value('vllm:num_requests_running')).toBe(0);
  expect(await value('foldgate:model_load_seconds_count')).toBe(1);
});

it('traces go to an OpenTelemetry collector, as part of the trace of who asked', async () => {
  interface Span {
    name: string;
    traceId: string;
    parentSpanId?: string;
    attributes: { key: string; value: Record<string, unknown> }[];
  }
  const spans: Span[] = [];
  const collector = createServer(async (request, response) => {
    expect(request.url).toBe('/v1/traces');
    const body = (await json(request)) as { resourceSpans: { scopeSpans: { spans: Span[] }[] }[] };
    spans.push(...body.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)));
    response.setHeader('content-type', 'application/json').end('{}');
  }).listen(0, '127.0.0.1');
  await once(collector, 'listening');
  onTestFinished(() => void collector.close());
  const { port } = collector.address() as AddressInfo;
  const { storeUrl } = await storedPico('llama');
  const server = await serving(storeUrl, ['--traces', `http://127.0.0.1:${port}`]);
  const [traceId, parent] = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'];
  await (await post(server.url, {}, { traceparent: `00-${traceId}-${parent}-01` })).text();
  await server.stop(); // what is left is sent before it ends
  const span = spans.find(({ name }) => name === 'text_completion pico');
  expect(span).toMatchObject({ traceId, parentSpanId: parent });
  const attributes = Object.fromEntries(
    span!.attributes.map(({ key, value }) => [key, Object.values(value)[0]]),
  );
  expect(attributes).toMatchObject({
    'gen_ai.operation.name': 'text_completion',
    'gen_ai.request.model': 'pico',
    'gen_ai.usage.output_tokens': 4,
    'http.response.status_code': 200,
  });
  expect(JSON.stringify(spans)).not.toContain('secret');
});
