import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Decoder } from '../../artifact/decoder/decoder.ts';
import { decoderOptions } from '../../artifact/decoder/decoder-options.ts';
import type { Checkpoint } from '../../compressor/checkpoint/checkpoint.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { runStudent } from '../../compressor/evaluate/student.ts';
import { HeadRunner } from '../../compressor/forward/head-runner.ts';
import { unfolded } from '../../compressor/student/planned-student.ts';
import { foldInto } from '../fixtures/fold-into.ts';
import { type Golden, golden, maxDifference, picoForms, picoPath } from '../fixtures/pico.ts';

/** Float32 in another order of summation; the logits are of size 1 to 10. */
const tolerance = 1e-3;

describe.each(picoForms)('%s, folded by a plan that changes nothing', (form) => {
  let checkpoint: Checkpoint;
  let expected: Golden;
  let folder: string;
  let decoder: Decoder;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'foldgate-identity-'));
    expected = await golden(form);
    checkpoint = await openCheckpoint(picoPath(form));
    const { manifest, graphPath } = await foldInto(folder, checkpoint);
    decoder = new Decoder({ ...decoderOptions(manifest, graphPath, 64), threads: 1 });
  });
  afterAll(async () => {
    decoder?.[Symbol.dispose]();
    await checkpoint?.close();
    await rm(folder, { recursive: true });
  });

  it("gives transformers' logits for a whole text at once", async () => {
    const logits = await decoder.runAll(decoder.newCache(), expected.tokens);
    expect(maxDifference(logits, expected.logits)).toBeLessThan(tolerance);
  });

  it('gives them token by token through the cache', async () => {
    const cache = decoder.newCache();
    const { tokens, vocabulary } = expected;
    for (const [i, token] of tokens.entries()) {
      const logits = await decoder.run(cache, [token]);
      const wanted = expected.logits.subarray(i * vocabulary, (i + 1) * vocabulary);
      expect(maxDifference(logits, wanted), `position ${i}`).toBeLessThan(tolerance);
    }
  });

  it('gives them after a prompt in uneven chunks, in a cache that another sequence used', async () => {
    const cache = decoder.newCache();
    await decoder.run(cache, expected.tokens.slice().reverse());
    cache.length = 0;
    const { tokens, vocabulary } = expected;
    let seen = 0;
    for (const size of [1, 17, 2, 9, 10, 1]) {
      const logits = await decoder.run(cache, tokens.slice(seen, seen + size));
      seen += size;
      const wanted = expected.logits.subarray((seen - 1) * vocabulary, seen * vocabulary);
      expect(maxDifference(logits, wanted), `after ${seen} tokens`).toBeLessThan(tolerance);
    }
    expect(cache.length).toBe(tokens.length);
  });

  it('gives them layer by layer, as the compressor measures', async () => {
    const windows = [Int32Array.from(expected.tokens)];
    const [states] = await runStudent(unfolded(checkpoint), windows);
    using head = new HeadRunner(checkpoint, { threads: 1 });
    expect(maxDifference(await head.logits(states!), expected.logits)).toBeLessThan(tolerance);
  });
});
