import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Decoder } from '../../artifact/decoder/decoder.ts';
import { withResource } from '../../artifact/dispose.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { cacheScalesName } from '../../compressor/export/cache-scales.ts';
import { createEngine } from '../../functions/engine/create-engine.ts';
import { foldgate } from '../fixtures/command-line.ts';
import { floats } from '../fixtures/floats.ts';
import { type FoldedPico, foldInto, withDecoder } from '../fixtures/fold-into.ts';
import { golden, maxDifference, picoFamilies, picoPath } from '../fixtures/pico.ts';

const capacity = 64;

/** A value on the border between two codes falls to either side by its last bits, and moves the logits by so much. */
const tolerance = 0.02;

interface Int8Golden {
  /** By layer, of keys and of values: [kvHeads, headSize], base64 of float32. */
  scales: [string, string][];
  /** [tokens, vocabulary] */
  logits: string;
}

const goldens: Record<string, Int8Golden> = JSON.parse(
  await readFile(new URL('../fixtures/int8-cache/golden.json', import.meta.url), 'utf8'),
);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldgate-int8-cache-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function fold(family: (typeof picoFamilies)[number], quantize = 'none'): Promise<FoldedPico> {
  const { tokens } = await golden(family);
  const checkpoint = await openCheckpoint(picoPath(family));
  try {
    const cacheText = [tokens, tokens.toReversed()].map((text) => Int32Array.from(text));
    return await foldInto(join(folder, `${family}-${quantize}`), checkpoint, { quantize, cacheText });
  } finally {
    await checkpoint.close();
  }
}

const withInt8 = <T>(folded: FoldedPico, use: (decoder: Decoder) => Promise<T>) =>
  withDecoder(folded, capacity, use, 'int8');

describe.each(picoFamilies)('an int8 cache of %s', (family) => {
  let folded: FoldedPico;
  beforeAll(async () => {
    folded = await fold(family);
  });

  it("has PyTorch's scales", async () => {
    const { scales } = folded.manifest.int8Cache!;
    const blob = await readFile(join(dirname(folded.graphPath), scales.sha256));
    let offset = 0;
    for (const [layer, parts] of goldens[family]!.scales.entries()) {
      for (const [i, part] of parts.entries()) {
        const expected = floats(part);
        const found = floats(blob.subarray(offset, offset + expected.byteLength).toString('base64'));
        const name = cacheScalesName(layer, i === 0 ? 'key' : 'value');
        expect(maxDifference(found, expected), name).toBeLessThan(1e-6);
        offset += Math.ceil(expected.byteLength / 64) * 64;
      }
    }
    expect(offset).toBe(blob.length);
  });

  it("gives the logits of PyTorch's attention over rounded keys and values, at once and token by token", async () => {
    const { tokens, vocabulary, logits: plain } = await golden(family);
    const expected = floats(goldens[family]!.logits);
    await withInt8(folded, async (decoder) => {
      const logits = decoder.runAll(decoder.newCache(), tokens);
      const [moved, error] = [maxDifference(plain, expected), maxDifference(logits, expected)];
      expect(error).toBeLessThan(tolerance);
      expect(error).toBeLessThan(moved / 2); // rounding itself shows
      const cache = decoder.newCache();
      for (const [i, token] of tokens.entries()) {
        const wanted = expected.subarray(i * vocabulary, (i + 1) * vocabulary);
        expect(maxDifference(decoder.run(cache, [token]), wanted), `position ${i}`).toBeLessThan(tolerance);
      }
    });
  });

  it('gives each row of a batch what it gets alone, at another place than others', async () => {
    const prompts = [0, 1, 2, 3].map((row) =>
      Array.from({ length: 3 + 9 * row }, (_, i) => (i * 37 + row * 11 + 5) % 280),
    );
    await withInt8(folded, async (decoder) => {
      const cache = decoder.newCache(prompts.length);
      for (const [row, prompt] of prompts.entries()) decoder.run(cache, prompt, row);
      let logits: Float32Array[] = [];
      for (const token of [7, 8, 9]) logits = decoder.step(cache, [0, 1, 2, 3], Array(4).fill(token));
      for (const [row, prompt] of prompts.entries()) {
        const alone = decoder.newCache();
        decoder.run(alone, prompt);
        let expected!: Float32Array;
        for (const token of [7, 8, 9]) expected = decoder.run(alone, [token]);
        expect(maxDifference(logits[row]!, expected)).toBeLessThan(tolerance);
      }
    });
  });
});

describe('rows of an int8 cache', () => {
  it('go on from what was copied or restored as from their own, in a quarter of the bytes', async () => {
    const folded = await fold('gemma3');
    const { tokens } = await golden('gemma3');
    await withInt8(folded, async (decoder) => {
      const expected = decoder.run(decoder.newCache(), tokens).slice();
      const cache = decoder.newCache(3);
      decoder.run(cache, tokens, 0);
      cache.copy(0, 2, 20);
      expect(maxDifference(decoder.run(cache, tokens.slice(20), 2), expected)).toBeLessThan(tolerance);
      const snapshot = cache.save(0);
      expect(snapshot.type).toBe('int8');
      // 3 layers of keys and values, one head of 32 channels, a byte each.
      const { kvHeads, headSize } = folded.manifest.dimensions;
      expect(snapshot.bytes).toBe(tokens.length * folded.manifest.layers.length * 2 * kvHeads * headSize);
      const held = snapshot.data.reduce((sum, { byteLength }) => sum + byteLength, 0);
      expect(held).toBe(snapshot.bytes);
      cache.clear(0);
      cache.restore(1, snapshot, 30);
      expect(maxDifference(decoder.run(cache, tokens.slice(30), 1), expected)).toBeLessThan(tolerance);
      snapshot[Symbol.dispose]();
    });
  });

  it('take no snapshot of a float32 cache', async () => {
    const folded = await fold('llama');
    const plain = await withDecoder(folded, capacity, async (decoder) => {
      const cache = decoder.newCache();
      decoder.run(cache, [1, 2, 3]);
      return cache.save(0);
    });
    await withInt8(folded, async (decoder) => {
      const cache = decoder.newCache();
      expect(() => cache.restore(0, plain)).toThrow('A snapshot in int8 is expected, not in float32.');
    });
  });
});

describe('the engine with an int8 cache', () => {
  it('makes the tokens of its own decoder, with prompts reused, in a quarter of the bytes', async () => {
    const folded = await fold('llama', 'int8');
    const { manifest, graphPath } = folded;
    const { tokens: prompt } = await golden('llama');
    const expected = await withDecoder(
      folded,
      2 * capacity,
      async (decoder) => {
        const cache = decoder.newCache();
        const made: number[] = [];
        for (let input = prompt; made.length < 8; input = [made.at(-1)!]) {
          const logits = decoder.run(cache, input);
          made.push(logits.indexOf(Math.max(...logits)));
        }
        return made;
      },
      'int8',
    );
    const options = { manifest, graphPath, slots: 2, threads: 1, spinning: false, prefixCacheBytes: 1e6 };
    const limits: number[] = [];
    for (const kvCache of ['int8', 'float32'] as const) {
      await withResource(await createEngine({ ...options, kvCache }), async (engine) => {
        const stats = await engine.stats!();
        limits.push(stats.kvLimitBytes - options.prefixCacheBytes);
        if (kvCache !== 'int8') return;
        for (const cached of [0, 40]) {
          const chunks = engine.generate({
            prompt,
            maxTokens: 8,
            sampling: { temperature: 0, topP: 1, topK: 0, minP: 0 },
            stopTokens: [],
            delivery: 'end',
          });
          for await (const { tokens, cachedTokens } of chunks) {
            expect(tokens).toEqual(expected);
            expect(cachedTokens ?? 0).toBeGreaterThanOrEqual(Math.min(cached, prompt.length - 2));
          }
        }
        const { kvBytes, kvTokens } = await engine.stats!();
        const { kvHeads, headSize } = manifest.dimensions;
        expect(kvBytes / kvTokens).toBe(manifest.layers.length * 2 * kvHeads * headSize);
      });
    }
    expect(limits[1]! / limits[0]!).toBe(4);
  });

  it('tells how to come by scales where a model has none, also by command', async () => {
    const checkpoint = await openCheckpoint(picoPath('llama'));
    const { manifest, graphPath } = await foldInto(join(folder, 'none'), checkpoint);
    await checkpoint.close();
    const message =
      /^pico has no scales for an int8 cache .*Fold it again \(foldgate fold\), or leave --kv-cache at float32\.$/;
    await expect(createEngine({ manifest, graphPath, kvCache: 'int8' })).rejects.toThrow(message);
    const url = `file:${join(folder, 'none', 'store')}/pico`;
    const told = 'pico has no scales for an int8 cache';
    const prompts = ['--generate', '--tokens', '2', '--kv-cache', 'int8'];
    for (const args of [
      ['eval', url, ...prompts],
      ['run', url, 'a', '--kv-cache', 'int8'],
    ]) {
      const { code, stderr } = await foldgate(...args);
      expect(code, stderr).toBe(2);
      expect(stderr).toContain(told);
    }
    const unfolded = await foldgate('eval', picoPath('llama'), ...prompts);
    expect(unfolded.code).toBe(2);
    expect(unfolded.stderr).toContain('which has no cache');
  });

  it('is what "eval --kv-cache int8" measures', async () => {
    const { result } = await fold('qwen3', 'int4');
    const url = `file:${join(folder, 'qwen3-int4', 'store')}/${result.manifest.name}`;
    const text = join(folder, 'text.txt');
    await writeFile(text, 'Once upon a time there was a little girl who lived in a small house. '.repeat(4));
    const perplexity = async (...more: string[]) => {
      const { code, stdout, stderr } = await foldgate('eval', url, '--text', text, '--json', ...more);
      expect(code, stderr).toBe(0);
      return JSON.parse(stdout).perplexity as number;
    };
    const [plain, int8] = [await perplexity(), await perplexity('--kv-cache', 'int8')];
    expect(int8).not.toBe(plain);
    expect(Math.abs(int8 / plain - 1)).toBeLessThan(0.05);
  });
});
