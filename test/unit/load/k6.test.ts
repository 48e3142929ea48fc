import { describe, expect, it } from 'vitest';
import { readAnswer } from '../../../load/k6/answer.ts';
import { k6Options } from '../../../load/k6/options.ts';
import { k6Summary } from '../../../load/k6/summary.ts';
import { markdownReport } from '../../../load/report.ts';
import { readScenario } from '../../../load/scenario/read.ts';

const { scenario: spike } = await readScenario('spike');
const { scenario: soak } = await readScenario('soak');

describe("k6's options", () => {
  it('are a constant rate for one stage', () => {
    expect(k6Options(soak).scenarios!.requests).toMatchObject({
      executor: 'constant-arrival-rate',
      rate: 60,
      timeUnit: '1m',
      duration: '120s',
    });
  });

  it('jump from stage to stage where there are several', () => {
    expect(k6Options(spike).scenarios!.requests).toMatchObject({
      executor: 'ramping-arrival-rate',
      startRate: 60,
      stages: [
        { target: 60, duration: '0s' },
        { target: 60, duration: '10s' },
        { target: 600, duration: '0s' },
        { target: 600, duration: '4s' },
        { target: 60, duration: '0s' },
        { target: 60, duration: '20s' },
      ],
    });
  });

  it('have the limits as thresholds', () => {
    expect(k6Options(soak).thresholds).toEqual({
      failed: ['rate<=0'],
      dropped_iterations: ['count==0'],
      ttft: ['p(95)<=3000'],
      memory_growth: ['value<=0.1'],
    });
  });
});

describe('an answer', () => {
  const usage = { prompt_tokens: 9, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 4 } };
  const timings = { queue_ms: 1, prefill_ms: 10, decode_ms: 20 };
  const chunk = 'data: {"choices":[{"text":"a"}]}\n\n';
  const last = `data: ${JSON.stringify({ choices: [], usage, timings })}\n\n`;
  const read = { tokens: 5, promptTokens: 9, cachedTokens: 4, ttftMs: 11, interTokenMs: 5 };

  it('of a stream is in its last event', () => {
    expect(readAnswer(200, `${chunk}${chunk}${last}data: [DONE]\n\n`, true)).toEqual(read);
  });

  it('as a whole has the same fields', () => {
    expect(readAnswer(200, JSON.stringify({ choices: [], usage, timings }), false)).toEqual(read);
  });

  it.each([
    ['another status', 429, '{"error":{}}', true, /^429/],
    ['a stream without its end', 200, chunk + last, true, /broke off/],
    ['an error within the stream', 200, `${chunk}data: {"error":{"message":"no"}}\n\n`, true, /broke off/],
    ['no usage', 200, '{"choices":[]}', false, /no usage/],
  ])('is none with %s', (_what, status, body, stream, error) => {
    expect(readAnswer(status, body, stream).error).toMatch(error);
  });
});

describe("k6's summary", () => {
  const data = {
    state: { testRunDurationMs: 4000 },
    metrics: {
      failed: { values: { rate: 0.1, passes: 1, fails: 9 } },
      tokens: { values: { count: 80 } },
      ttft: { values: { med: 10, 'p(95)': 20, 'p(99)': 30 } },
      dropped_iterations: { values: { count: 2 } },
    },
  };

  it("has the client's form; requests that were never sent count as failed", () => {
    const summary = k6Summary(data);
    expect(summary).toMatchObject({ requests: 12, seconds: 4, tokensPerSecond: 20 });
    expect(Object.values(summary.errors)).toEqual([1, 2]);
    expect(summary.server?.ttftMs).toEqual({ p50: 10, p95: 20, p99: 30 });
    expect(summary.memory?.missing).toMatch(/no process_resident_memory_bytes/);
  });

  it('becomes a row of the report, and what failed a sentence below it', () => {
    const runs = [{ by: 'k6', summary: k6Summary(data), problems: ['it was slow'], html: 'soak.html' }];
    const report = markdownReport('http://host', 'tales', [{ name: 'soak', scenario: soak, runs }]);
    const row = report.split('\n').find((line) => line.startsWith('| [k6](soak.html) |'));
    expect(row).toMatch(/\| 12 \| 3 \| 20\.0 \|.*\| 10\.0 \/ 20\.0 \|.*FAILED/);
    expect(report).toContain('- **k6**: it was slow.');
    expect(report).toContain('- Memory was not measured: no process_resident_memory_bytes in /metrics.');
  });
});
