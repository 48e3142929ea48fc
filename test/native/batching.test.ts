import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Decoder } from '../../artifact/decoder/decoder.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { type FoldedPico, foldInto, withDecoder } from '../fixtures/fold-into.ts';
import { maxDifference, type PicoForm, picoFamilies, picoPath } from '../fixtures/pico.ts';

const capacity = 64;
const rows = [0, 1, 2, 3, 4];
/** Of different lengths, longer than the first family's window. */
const prompts = rows.map((row) =>
  Array.from({ length: 3 + 9 * row }, (_, i) => (i * 37 + row * 11 + 5) % 280),
);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldgate-batching-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function fold(family: PicoForm, quantize: string): Promise<FoldedPico> {
  const checkpoint = await openCheckpoint(picoPath(family));
  try {
    return await foldInto(join(folder, `${family}-${quantize}`), checkpoint, { quantize });
  } finally {
    await checkpoint.close();
  }
}

/** Each prompt's logits after a few more tokens, one sequence at a time. */
function alone(decoder: Decoder, more: readonly number[]): Float32Array[] {
  return prompts.map((prompt) => {
    const cache = decoder.newCache();
    decoder.run(cache, prompt);
    let logits!: Float32Array;
    for (const token of more) logits = decoder.run(cache, [token]);
    return logits.slice();
  });
}

describe.each(picoFamilies)('a batch of %s', (family) => {
  it('has the logits that each sequence has alone', async () => {
    await withDecoder(await fold(family, 'none'), capacity, async (decoder) => {
      const more = [7, 8, 9];
      const expected = alone(decoder, more);
      const cache = decoder.newCache(rows.length);
      for (const row of rows) decoder.run(cache, prompts[row]!, row);
      let logits!: Float32Array[];
      for (const token of more) logits = decoder.step(cache, rows, Array(rows.length).fill(token));
      for (const row of rows) expect(maxDifference(logits[row]!, expected[row]!)).toBeLessThan(1e-4);
    });
  });
});

describe('a step', () => {
  let folded: FoldedPico;
  beforeAll(async () => {
    folded = await fold('llama', 'int8');
  });

  it('leaves rows alone that it does not name, wherever they are in their prompts', async () => {
    await withDecoder(folded, capacity, async (decoder) => {
      const cache = decoder.newCache(rows.length);
      for (const row of rows) decoder.run(cache, prompts[row]!.slice(0, 3), row);
      const lengths = [...cache.lengths];
      // Between two chunks of their prompts the others make tokens.
      decoder.step(cache, [0, 4], [7, 8]);
      decoder.step(cache, [0, 3], [9, 1]);
      expect([...cache.lengths]).toEqual([
        lengths[0]! + 2,
        lengths[1],
        lengths[2],
        lengths[3]! + 1,
        lengths[4]! + 1,
      ]);
      for (const row of [1, 2]) {
        const logits = decoder.run(cache, prompts[row]!.slice(3), row).slice();
        const whole = decoder.run(decoder.newCache(), prompts[row]!);
        expect(maxDifference(logits, whole)).toBeLessThan(1e-4);
      }
    });
  });

  it('takes any rows, ascending, in any order of steps', async () => {
    await withDecoder(folded, capacity, async (decoder) => {
      const cache = decoder.newCache(rows.length);
      for (const row of rows) decoder.run(cache, prompts[row]!, row);
      const expected = alone(decoder, [7]);
      for (const some of [[4], [1, 3], [0, 2]]) {
        const logits = decoder.step(cache, some, Array(some.length).fill(7));
        for (const [i, row] of some.entries()) {
          expect(maxDifference(logits[i]!, expected[row]!)).toBeLessThan(1e-3);
        }
      }
    });
  });

  it('fills a row to its end while others are full', async () => {
    await withDecoder(folded, capacity, async (decoder) => {
      const cache = decoder.newCache(3);
      const long = Array.from({ length: capacity - 1 }, (_, i) => (i * 7) % 280);
      decoder.run(cache, long, 0);
      decoder.run(cache, long, 2);
      decoder.run(cache, [1, 2, 3], 1);
      const [first] = decoder.step(cache, [0, 1, 2], [5, 5, 5]).map((logits) => logits.slice());
      expect([...cache.lengths]).toEqual([capacity, 4, capacity]);
      const expected = decoder.newCache();
      decoder.run(expected, long);
      expect(maxDifference(first!, decoder.run(expected, [5]))).toBeLessThan(1e-3);
    });
  });
});

describe('a row', () => {
  it('goes on from what was copied or restored as from its own', async () => {
    await withDecoder(await fold('qwen2', 'none'), capacity, async (decoder) => {
      const prompt = prompts[4]!;
      const expected = decoder.run(decoder.newCache(), prompt).slice();
      const cache = decoder.newCache(4);
      decoder.run(cache, prompt, 0);
      cache.copy(0, 2, 20);
      expect(maxDifference(decoder.run(cache, prompt.slice(20), 2), expected)).toBeLessThan(1e-4);

      const snapshot = cache.save(0);
      expect(snapshot.tokens).toBe(prompt.length);
      cache.clear(0);
      for (const [row, tokens] of [
        [0, 1],
        [1, 30],
        [3, prompt.length - 1],
      ] as const) {
        cache.restore(row, snapshot, tokens);
        const logits = decoder.run(cache, prompt.slice(tokens), row);
        expect(maxDifference(logits, expected)).toBeLessThan(1e-4);
      }
      snapshot[Symbol.dispose]();
      expect(snapshot.data.every((part) => part.byteLength === 0)).toBe(true);
    });
  });

  it('that was cleared leaves its neighbours as they are', async () => {
    await withDecoder(await fold('llama', 'none'), 128, async (decoder) => {
      const cache = decoder.newCache(3);
      const long = Array.from({ length: 120 }, (_, i) => (i * 7) % 280);
      for (const row of [0, 1, 2]) decoder.run(cache, long, row);
      const before = [0, 2].map((row) => cache.save(row));
      cache.clear(1);
      for (const [i, row] of [0, 2].entries()) {
        const after = cache.save(row);
        for (const [part, data] of after.data.entries()) expect(data).toEqual(before[i]!.data[part]);
      }
      expect(cache.lengths[1]).toBe(0);
      const again = decoder.run(cache, long, 1).slice();
      expect(maxDifference(again, decoder.run(decoder.newCache(), long))).toBe(0);
    });
  });

  it('copies no more than there is', async () => {
    await withDecoder(await fold('llama', 'none'), capacity, async (decoder) => {
      const cache = decoder.newCache(2);
      decoder.run(cache, [1, 2, 3], 0);
      expect(() => cache.copy(0, 1, 4)).toThrow('Row 0 holds 3 tokens, not 4.');
    });
  });
});

describe('verifying some tokens of a sequence', () => {
  it('gives the logits after each, of which the last may be taken back', async () => {
    await withDecoder(await fold('qwen3', 'none'), capacity, async (decoder) => {
      const vocabulary = 288;
      const guess = [7, 8, 9, 10];
      const expected = decoder.runAll(decoder.newCache(), [...prompts[2]!, ...guess]);
      const cache = decoder.newCache(3);
      for (const row of [0, 2]) decoder.run(cache, prompts[row]!, row);
      for (const wrong of [[7, 100, 101, 102], [7, 8], [7]]) {
        const logits = decoder.verify(cache, wrong, 2);
        const at = prompts[2]!.length;
        const same = wrong.filter((token, i) => token === guess[i]).length;
        for (let i = 0; i < same; i++) {
          const row = expected.subarray((at + i) * vocabulary, (at + i + 1) * vocabulary);
          expect(maxDifference(logits[i]!, row)).toBeLessThan(1e-4);
        }
        cache.lengths[2] = at;
      }
      const logits = decoder.verify(cache, guess, 2)[3]!;
      expect(maxDifference(logits, expected.subarray(-vocabulary))).toBeLessThan(1e-4);
    });
  });
});
