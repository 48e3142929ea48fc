import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { charts } from '../../../load/bench/charts.ts';
import { withSection } from '../../../load/bench/docs.ts';
import { type BenchResults, cellOf, type LoadRound, ratio } from '../../../load/bench/results.ts';
import { tables } from '../../../load/bench/tables.ts';
import { allowance, phasesOf } from '../../../load/cold-start/phases.ts';
import { Line } from '../../../load/cold-start/throttle.ts';

const round = (tokensPerSecond: number, failed = 0): LoadRound => ({
  tokensPerSecond,
  ttft: { p50: 1000 / tokensPerSecond, p95: 20 },
  interToken: { p50: 5, p95: 9 },
  residentMb: 200,
  failed,
});

const results: BenchResults = {
  model: 'smol',
  machine: { processor: 'EPYC', cores: 2, memoryBytes: 24 * 2 ** 30, threads: 2, node: '24' },
  command: 'npm run bench --',
  date: '2026-11-26',
  contenders: [
    { name: 'llama.cpp <Q4_0>', bytes: 90e6 },
    { name: 'folded', bytes: 50e6 },
  ],
  coldStarts: [
    { contender: 'llama.cpp <Q4_0>', firstTokenMs: [300, 500, 400] },
    { contender: 'folded', firstTokenMs: [350] },
  ],
  engines: [],
  closed: [
    { contender: 'llama.cpp <Q4_0>', streams: 1, rounds: [round(100), round(50), round(80)] },
    { contender: 'folded', streams: 1, rounds: [round(200), round(110), round(120, 2)] },
    { contender: 'llama.cpp <Q4_0>', streams: 16, rounds: [round(300)] },
    { contender: 'folded', streams: 16, rounds: [round(900)] },
  ],
  open: [],
};

describe('the tables', () => {
  const text = tables(results).join('\n');

  it('show medians of the rounds, and medians of their ratios rather than ratios of medians', () => {
    // Medians 80 and 120, a ratio of 1.5; by rounds 2, 2.2 and 1.5.
    expect(text).toContain('| folded | 120 (2.00x) | 900 (3.00x) |');
    expect(ratio(cellOf(results.closed, 'folded', 1)!, results.closed[0]!, (r) => r.tokensPerSecond)).toBe(2);
  });

  it('name the machine and the command, and tell of failed requests', () => {
    expect(text).toMatch(/2026-11-26, EPYC, 2 cores, 24 GiB, 2 threads each, Node 24; `npm run bench --`/);
    expect(text).toContain('- **2 requests failed**: folded at 1 streams.');
    expect(text).toContain('| llama.cpp <Q4_0> | 90 | 400 |');
  });
});

describe('the charts', () => {
  const files = charts(results);

  it('are SVG files of their own, with the numbers for those who do not see them', () => {
    expect(Object.keys(files)).toEqual(['throughput.svg', 'first-token.svg', 'memory.svg']);
    const { 'throughput.svg': text } = files;
    expect(text).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox/);
    expect(text).toContain(
      '<desc id="chart-0-d">tokens a second. llama.cpp &lt;Q4_0&gt;: 80 at 1, 300 at 16;',
    );
    expect(text).not.toContain('NaN');
  });

  it('depend on the results alone', () => {
    expect(charts(results)).toEqual(files);
  });
});

describe('the page', () => {
  const page = 'intro\n\n<!-- bench: new models here -->\n\nrest\n';

  it('gets a section for a new model, and a new one for one it has', () => {
    const once = withSection(page, 'a', 'first');
    const both = withSection(once, 'b', 'second');
    expect(both).toMatch(/intro\n\n<!-- bench: a -->\nfirst\n<!-- \/bench: a -->\n\n<!-- bench: b -->/);
    const again = withSection(both, 'a', 'changed');
    expect(again).toContain('<!-- bench: a -->\nchanged\n<!-- /bench: a -->');
    expect(again).not.toContain('first');
    expect(again).toContain('second');
    expect(again.endsWith('rest\n')).toBe(true);
  });
});

describe('the phases of a cold start', () => {
  const passages = [
    { path: '/models/models/smol/current.json', askedAt: 1200, endedAt: 1210, bytes: 1 },
    { path: '/models/blobs/aa', askedAt: 1230, endedAt: 1500, bytes: 1 },
    { path: '/models/blobs/bb', askedAt: 1235, endedAt: 1900, bytes: 1 },
  ];

  it('are read off what passed the line, and add up', () => {
    const phases = phasesOf(1000, passages, { firstTokenMs: 1100, prefillMs: 40 });
    expect(phases).toEqual({ init: 200, manifest: 30, blobs: 670, session: 200, prefill: 40, total: 1100 });
    expect(phases.init + phases.manifest + phases.blobs + phases.session).toBe(phases.total);
  });

  it('are none where nothing was fetched: the cache was not empty', () => {
    expect(() => phasesOf(0, [], { firstTokenMs: 1, prefillMs: 1 })).toThrow('Nothing was fetched');
  });

  it('have an allowance of 1.2 times the bytes, and 300 ms', () => {
    expect(allowance(1000)).toBe(1500);
  });
});

describe('the line', () => {
  it('lets bytes through unchanged, no faster than it may, all streams together', async () => {
    const line = new Line(2e6);
    const begin = performance.now();
    const through = async (bytes: Buffer) => {
      const stream = line.stream();
      stream.end(bytes);
      return await buffer(stream);
    };
    const sent = [Buffer.alloc(100_000, 1), Buffer.alloc(100_000, 2)];
    expect(await Promise.all(sent.map(through))).toEqual(sent);
    expect(performance.now() - begin).toBeGreaterThan(95); // 200 kB at 2 kB/ms
  });
});
