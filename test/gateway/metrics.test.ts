import { describe, expect, it } from 'vitest';
import { ApiKeys, hashKey } from '../../functions/gateway/access/api-keys.ts';
import { prometheusMetrics } from '../../functions/gateway/observe/prometheus.ts';
import { startGateway } from '../fixtures/gateway.ts';

const body = { model: 'tales', prompt: [9, 9, 9] };

/** Every sample by its name and labels, as Prometheus' text format has them. */
async function scrape(url: string): Promise<Map<string, number>> {
  const response = await fetch(`${url}/metrics`);
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

const of = (name: string) => `${name}{model_name="tales"}`;

describe('GET /metrics', () => {
  it('counts tokens, completions and times', async () => {
    const { post, server } = await startGateway(() => () => [5, 6, 7], { metrics: prometheusMetrics() });
    await post('/v1/completions', { ...body, n: 2 });
    await post('/v1/completions', { ...body, max_tokens: 2 });
    const samples = await scrape(server.url);
    expect(samples.get(of('foldgate:prompt_tokens_total'))).toBe(6);
    expect(samples.get(of('foldgate:generation_tokens_total'))).toBe(8);
    const finished = (reason: string) =>
      samples.get(`foldgate:request_success_total{model_name="tales",finished_reason="${reason}"}`);
    expect([finished('stop'), finished('length')]).toEqual([2, 1]);
    // The scripted engine says it took 1 ms in the queue, 2 for the prompt and 3 for the rest.
    const near = (name: string) => samples.get(of(`${name}_sum`))! / samples.get(of(`${name}_count`))!;
    expect(samples.get(of('foldgate:request_queue_time_seconds_count'))).toBe(3);
    expect(near('foldgate:request_prefill_time_seconds')).toBeCloseTo(0.002, 6);
    expect(near('foldgate:request_decode_time_seconds')).toBeCloseTo(0.003, 6);
    expect(near('foldgate:time_to_first_token_seconds')).toBeGreaterThanOrEqual(0.003);
    // Of 3 tokens 2 came after the first, of 2 one.
    expect(near('foldgate:request_time_per_output_token_seconds')).toBeCloseTo((0.0015 * 2 + 0.003) / 3, 6);
    expect(samples.get(of('foldgate:e2e_request_latency_seconds_count'))).toBe(2);
    const genAi = 'gen_ai_operation_name="text_completion",gen_ai_request_model="tales"';
    expect(samples.get(`gen_ai_server_request_duration_seconds_count{${genAi},error_type=""}`)).toBe(2);
    expect(samples.get(`gen_ai_client_token_usage_sum{${genAi},gen_ai_token_type="output"}`)).toBe(8);
  });

  it('measures the time between the tokens of streams alone', async () => {
    const { client, engine, server, post } = await startGateway(() => () => undefined, {
      metrics: prometheusMetrics(),
    });
    const streaming = client.completions.create({ ...body, stream: true });
    const call = await engine.nextCall();
    call.emit(5, 6, 7);
    call.finish('stop');
    for await (const _ of await streaming);
    const whole = post('/v1/completions', body);
    const next = await engine.nextCall();
    next.emit(5, 6, 7);
    next.finish('stop');
    await whole;
    expect((await scrape(server.url)).get(of('foldgate:inter_token_latency_seconds_count'))).toBe(2);
  });

  it('tells running and waiting completions under the names that schedulers ask for', async () => {
    const { post, engine, server } = await startGateway(() => () => undefined, {
      metrics: prometheusMetrics(),
    });
    const cache = { kvTokens: 30, kvBytes: 250, kvLimitBytes: 1000 };
    const speculation = {
      ngram: { drafts: 3, tokens: 9, accepted: 4 },
      draft_model: { drafts: 5, tokens: 20, accepted: 13 },
    };
    const stats = { ...cache, prefixQueries: 20, prefixHits: 15, storedPrefixHits: 12, speculation };
    Object.assign(engine, { stats: async () => ({ ...stats, running: 2, waiting: 1 }) });
    const asked = Promise.all([post('/v1/completions', { ...body, n: 3 })]);
    const calls = [await engine.nextCall(), await engine.nextCall(), await engine.nextCall()];
    const samples = await scrape(server.url);
    for (const prefix of ['vllm', 'foldgate']) {
      expect(samples.get(of(`${prefix}:num_requests_running`))).toBe(2);
      expect(samples.get(of(`${prefix}:num_requests_waiting`))).toBe(1);
      expect(samples.get(of(`${prefix}:kv_cache_usage_perc`))).toBe(0.25);
    }
    expect(samples.get(of('foldgate:prefix_cache_queries_total'))).toBe(20);
    expect(samples.get(of('foldgate:prefix_cache_hits_total'))).toBe(15);
    expect(samples.get(of('foldgate:stored_prefix_hits_total'))).toBe(12);
    const guessed = (name: string, method: string) =>
      samples.get(`foldgate:spec_decode_num_${name}_total{model_name="tales",method="${method}"}`);
    expect(guessed('drafts', 'ngram')).toBe(3);
    expect(guessed('draft_tokens', 'draft_model')).toBe(20);
    expect(guessed('accepted_tokens', 'draft_model')).toBe(13);
    for (const call of calls) call.finish('stop');
    await asked;
  });

  it('does not wait for an engine that does not answer', async () => {
    const { engine, server } = await startGateway(() => () => undefined, { metrics: prometheusMetrics() });
    Object.assign(engine, { stats: () => new Promise(() => {}) });
    expect((await scrape(server.url)).get(of('vllm:num_requests_running'))).toBe(0);
  });

  it('counts failures by what they were', async () => {
    const { post, engine, server } = await startGateway(() => () => undefined, {
      metrics: prometheusMetrics(),
      deadlineMs: 20,
    });
    await post('/v1/completions', body);
    await engine.nextCall();
    await post('/v1/completions', { ...body, temperature: 9 });
    for (const path of ['/nothing/a', '/nothing/b']) await fetch(server.url + path);
    await fetch(`${server.url}/v1/models/tales`);
    const samples = await scrape(server.url);
    expect(samples.get('foldgate:request_failure_total{model_name="tales",code="deadline_exceeded"}')).toBe(
      1,
    );
    const answered = (method: string, route: string, status: number) =>
      samples.get(`foldgate:http_requests_total{method="${method}",route="${route}",status="${status}"}`);
    expect(answered('POST', '/v1/completions', 504)).toBe(1);
    expect(answered('POST', '/v1/completions', 400)).toBe(1);
    // Addresses of strangers make no metrics of their own.
    expect(answered('GET', 'unknown', 404)).toBe(2);
    expect(answered('GET', '/v1/models/:id', 200)).toBe(1);
  });

  it('tells of the process, and asks for no key', async () => {
    const keys = new ApiKeys([{ name: 'a', hash: hashKey('a') }]);
    const { server } = await startGateway(() => () => [5], { metrics: prometheusMetrics(), keys });
    const samples = await scrape(server.url);
    expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(20e6);
    expect(samples.get('process_cpu_seconds_total')).toBeGreaterThan(0);
    expect(Math.abs(samples.get('process_start_time_seconds')! - Date.now() / 1000)).toBeLessThan(3600);
    expect([...samples.keys()]).toContain('foldgate:model_loaded{model_name="tales",version="012345678900"}');
  });

  it('is not there unless it is asked for', async () => {
    const { server } = await startGateway(() => () => [5]);
    expect((await fetch(`${server.url}/metrics`)).status).toBe(404);
  });
});
