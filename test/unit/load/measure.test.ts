import { describe, expect, it } from 'vitest';
import { serverTimings } from '../../../load/client/outcome.ts';
import { quantile, spread } from '../../../load/client/quantile.ts';
import { type Summary, summarise, violations } from '../../../load/client/summary.ts';
import { memoryGrowth, residentBytes } from '../../../load/scenario/memory.ts';

describe('quantile', () => {
  // numpy.quantile([...], q), its default method
  it.each([
    [[3, 1, 2], 0.5, 2],
    [[4, 1, 3, 2], 0.5, 2.5],
    [[15, 20, 35, 40, 50], 0.4, 29],
    [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.95, 9.55],
    [[7], 0.99, 7],
  ])('of %j at %d is %d', (values, q, expected) => {
    expect(quantile(values, q)).toBeCloseTo(expected, 10);
  });

  it('of nothing is nothing', () => {
    expect(spread([])).toBeUndefined();
  });
});

describe('memory', () => {
  it('is read from Prometheus text, with or without labels', () => {
    const text = '# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes 2.5e+08\n';
    expect(residentBytes(text)).toBe(250_000_000);
    expect(residentBytes('a 1\nprocess_resident_memory_bytes{app="x"} 1024\n')).toBe(1024);
    expect(residentBytes('process_resident_memory_bytes_total 5\n')).toBeUndefined();
  });

  it('may rise at the start, but not later', () => {
    const warmingUp = [10, 50, 100, 100, 100, 101, 100, 100, 100, 100, 100, 100];
    expect(memoryGrowth(warmingUp)).toBeCloseTo(0, 2);
    const leaking = Array.from({ length: 40 }, (_, i) => 100 + 10 * i);
    expect(memoryGrowth(leaking)).toBeCloseTo(450 / 250 - 1, 10);
    expect(memoryGrowth([1, 2, 3])).toBeUndefined();
  });
});

describe('server timings', () => {
  it('are the first token and the mean of the others', () => {
    expect(serverTimings({ queue_ms: 5, prefill_ms: 20, decode_ms: 90 }, 10)).toEqual({
      ttftMs: 25,
      interTokenMs: 10,
    });
    expect(serverTimings({ queue_ms: 5, prefill_ms: 20, decode_ms: 0 }, 1)).toEqual({ ttftMs: 25 });
    expect(serverTimings(undefined, 10)).toBeUndefined();
  });
});

describe('a summary', () => {
  const answered = (ttftMs: number) => ({
    kind: 'k',
    latencyMs: 100,
    ttftMs,
    interTokenMs: 4,
    gapsMs: [4, 40],
    promptTokens: 50,
    cachedTokens: 20,
    tokens: 10,
  });
  const failed = { ...answered(0), error: '429 overloaded' };

  it('counts tokens a second of what was answered, and failures by their cause', () => {
    const summary = summarise({ outcomes: [answered(10), answered(30), failed], seconds: 2 });
    expect(summary).toMatchObject({
      requests: 3,
      errors: { '429 overloaded': 1 },
      tokensPerSecond: 10,
      promptTokens: 100,
      cachedTokens: 40,
    });
    expect(summary.ttftMs?.p50).toBe(20);
    expect(summary.gapMs?.p95).toBe(40);
  });

  const base: Summary = {
    requests: 10,
    errors: {},
    seconds: 1,
    tokensPerSecond: 1,
    promptTokens: 0,
    cachedTokens: 0,
    ttftMs: { p50: 100, p95: 300, p99: 400 },
  };
  const limits = { errorRate: 0, ttftMs: { p95: 200 }, latencyMs: { p95: 1 }, memoryGrowth: 0.1 };

  it.each<[string, Partial<Summary>, RegExp[]]>([
    ['too slow', {}, [/first token at p95 is 300 ms, more than 200 ms/]],
    ['failures', { ttftMs: undefined, errors: { boom: 1 } }, [/10\.0% of the requests failed.*1x boom/]],
    ['nothing sent', { ttftMs: undefined, requests: 0 }, [/nothing was sent/]],
    [
      'the server knows better',
      { ttftMs: undefined, server: { ttftMs: { p50: 1, p95: 201, p99: 300 } } },
      [/201/],
    ],
    ['a leak', { ttftMs: undefined, memory: { growth: 0.2 } }, [/memory grew by 20\.0%/]],
    ['what was not measured is not judged', { ttftMs: undefined }, []],
  ])('tells what is beyond the limits: %s', (_what, change, expected) => {
    const found = violations({ ...base, ...change }, limits);
    expect(found).toHaveLength(expected.length);
    for (const [i, pattern] of expected.entries()) expect(found[i]).toMatch(pattern);
  });
});
