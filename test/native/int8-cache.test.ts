import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Decoder } from '../../artifact/decoder/decoder.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { cacheScalesName } from '../../compressor/export/cache-scales.ts';
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
const floats = (base64: string) => new Float32Array(new Uint8Array(Buffer.from(base64, 'base64')).buffer);

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
        // The next steps' logits lie where the rows' do.
        const found = logits[row]!.slice();
        for (const token of [7, 8, 9]) expected = decoder.run(alone, [token]);
        expect(maxDifference(found, expected)).toBeLessThan(tolerance);
      }
    });
  });
});
