import { describe, expect, it } from 'vitest';
import { eventData } from '../../../functions/gateway/playground/page/events.js';
import { metricOf, serverNumbers } from '../../../functions/gateway/playground/page/metrics.js';
import { bytesText, countText, durationText } from '../../../functions/gateway/playground/page/numbers.js';
import { blocksOf } from '../../../functions/gateway/playground/page/rich-text.js';
import { piecesOf, spansAfterEdit } from '../../../functions/gateway/playground/page/spans.js';

describe('blocksOf', () => {
  it('finds code between fences, and takes an open fence to the end', () => {
    expect(blocksOf('Look:\n```js\nlet a;\n\nlet b;\n```\nDone.\n```\nrest')).toEqual([
      { kind: 'text', language: '', text: 'Look:\n' },
      { kind: 'code', language: 'js', text: 'let a;\n\nlet b;\n' },
      { kind: 'text', language: '', text: 'Done.\n' },
      { kind: 'code', language: '', text: 'rest\n' },
    ]);
  });

  it('makes nothing of a fence that nothing follows', () => {
    expect(blocksOf('Done.\n```js')).toEqual(blocksOf('Done.'));
  });

  it('loses nothing of a text without fences', () => {
    expect(blocksOf('a `b` ``` c\n\n  d')).toEqual([
      { kind: 'text', language: '', text: 'a `b` ``` c\n\n  d\n' },
    ]);
    expect(blocksOf('')).toEqual([]);
  });
});

describe('spansAfterEdit', () => {
  const spans = [{ start: 2, end: 6 }];
  it.each([
    ['before it', '0123456789', 'xx0123456789', ['2345']],
    ['after it', '0123456789', '0123456789xx', ['2345']],
    ['within it', '0123456789', '0123xx456789', ['23', '45']],
    ['over its end', '0123456789', '012x789', ['2']],
    ['over all of it', '0123456789', '0x9', []],
    ['deleting a part', '0123456789', '01256789', ['2', '5']],
    ['with equal letters', 'aaaaaaaaaa', 'aaaaaaaaa', ['aaaa']],
  ])('keeps of a span what is left after an edit %s', (_where, before, after, left) => {
    const kept = spansAfterEdit(spans, before, after);
    expect(kept.map(({ start, end }) => after.slice(start, end))).toEqual(left);
  });

  it('makes pieces that are the text', () => {
    const pieces = piecesOf('0123456789', [
      { start: 0, end: 2 },
      { start: 5, end: 10 },
    ]);
    expect(pieces.map(({ text, isMarked }) => (isMarked ? `[${text}]` : text)).join('')).toBe(
      '[01]234[56789]',
    );
  });
});

describe('eventData', () => {
  it.each([1, 2, 3, 7, 1000])('reads events from pieces of %d bytes', async (size) => {
    const bytes = new TextEncoder().encode('data: {"a":"é\\n"}\n\n: comment\n\ndata: [DONE]\n\n');
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.slice(i * size, (i + 1) * size),
    );
    const data: string[] = [];
    for await (const one of eventData(ReadableStream.from(pieces) as ReadableStream<Uint8Array<ArrayBuffer>>))
      data.push(one);
    expect(data).toEqual(['{"a":"é\\n"}', '[DONE]']);
  });
});

describe('metrics', () => {
  const text = `# HELP process_resident_memory_bytes Resident memory size in bytes.
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes 181403648
foldgate:prefix_cache_queries_total{model_name="a"} 200
foldgate:prefix_cache_queries_total{model_name="ab"} 7
foldgate:prefix_cache_hits_total{model_name="a"} 50
foldgate:kv_cache_bytes{model_name="a",device="x y"} 1.5e+6
process_resident_memory_bytes_more 1
`;

  it('are found by name and labels', () => {
    expect(metricOf(text, 'process_resident_memory_bytes')).toBe(181403648);
    expect(metricOf(text, 'foldgate:prefix_cache_queries_total')).toBe(207);
    expect(metricOf(text, 'none')).toBeUndefined();
    expect(serverNumbers(text, 'a')).toEqual({ memoryBytes: 181403648, kvBytes: 1.5e6, cacheShare: 0.25 });
    expect(serverNumbers(text, 'b')).toMatchObject({ kvBytes: undefined, cacheShare: undefined });
  });
});

describe('numbers', () => {
  it('are as long as one reads at a glance', () => {
    expect([0, 999, 2_299_433, 90_700_000].map(bytesText)).toEqual(['0 B', '999 B', '2.3 MB', '91 MB']);
    expect([512, 1_854_592, 134_515_008, 1.5e9].map(countText)).toEqual(['512', '1.9 M', '135 M', '1.5 B']);
    expect([0.53, 31.4, 4321].map(durationText)).toEqual(['0.5 ms', '31 ms', '4.3 s']);
  });
});
