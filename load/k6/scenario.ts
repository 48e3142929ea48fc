/**
 * The k6 script, one for all scenarios. `load/run.ts` runs it; by hand:
 *
 *   .cache/bin/k6 run -e URL=http://127.0.0.1:8080 -e MODEL=tales -e SCENARIO=../scenarios/smoke.json load/k6/scenario.ts
 *
 * SCENARIO is the path of a file, relative to this one; FROM the number of the first request, as a server may have
 * kept what it computed of a prompt that it has seen; SUMMARY where to write what came out, as JSON.
 */
import { sleep } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { Counter, Gauge, Rate, Trend } from 'k6/metrics';
import { memoryGrowth, residentBytes } from '../scenario/memory.ts';
import { plannedRequest } from '../scenario/requests.ts';
import { type Scenario, secondsOf } from '../scenario/scenario.ts';
import { readAnswer } from './answer.ts';
import { k6Options } from './options.ts';
import { type K6Data, k6Summary } from './summary.ts';

const {
  URL: url = 'http://127.0.0.1:8080',
  MODEL: model = '',
  API_KEY: apiKey = 'any',
  FROM: from = '0',
} = __ENV;
const scenario: Scenario = JSON.parse(open(__ENV.SCENARIO ?? '../scenarios/smoke.json'));

export const options = k6Options(scenario);

const failed = new Rate('failed');
const latency = new Trend('latency', true);
/** Headers come with the first token, so this is the client's side of a stream's first token. */
const firstByte = new Trend('first_byte', true);
const ttft = new Trend('ttft', true);
const interToken = new Trend('inter_token', true);
const tokens = new Counter('tokens');
const promptTokens = new Counter('prompt_tokens');
const cachedTokens = new Counter('cached_tokens');
const resident = new Gauge('resident_bytes');
const growth = new Gauge('memory_growth');

export function request(): void {
  const { path, body, kind } = plannedRequest(scenario, Number(from) + exec.scenario.iterationInTest, model);
  const response = http.post(url + path, JSON.stringify(body), {
    headers: { 'content-type': 'application/json', authorization: `Bearer ${apiKey}` },
    tags: { kind, name: path },
    timeout: '600s',
  });
  const answer = readAnswer(response.status, String(response.body ?? response.error), scenario.stream);
  failed.add(answer.error !== undefined);
  if (answer.error !== undefined) {
    console.error(answer.error);
    return;
  }
  latency.add(response.timings.duration, { kind });
  if (scenario.stream) firstByte.add(response.timings.waiting, { kind });
  tokens.add(answer.tokens);
  promptTokens.add(answer.promptTokens);
  cachedTokens.add(answer.cachedTokens);
  if (answer.ttftMs !== undefined) ttft.add(answer.ttftMs, { kind });
  if (answer.interTokenMs !== undefined) interToken.add(answer.interTokenMs, { kind });
}

/** One user of its own reads the server's memory every second and tells at the end how it grew. */
export function watchMemory(): void {
  const samples: number[] = [];
  while (exec.instance.currentTestRunDuration < secondsOf(scenario.arrivals) * 1000) {
    const response = http.get(`${url}/metrics`, { tags: { name: '/metrics' } });
    const bytes = response.status === 200 ? residentBytes(String(response.body)) : undefined;
    if (bytes === undefined) {
      console.warn(`No process_resident_memory_bytes in ${url}/metrics: memory is not measured.`);
      return;
    }
    samples.push(bytes);
    resident.add(bytes);
    sleep(1);
  }
  const grown = memoryGrowth(samples);
  if (grown !== undefined) growth.add(grown);
}

export function handleSummary(data: K6Data): Record<string, string> {
  const summary = JSON.stringify(k6Summary(data));
  return { [__ENV.SUMMARY ?? 'stdout']: `${summary}\n` };
}
