import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseTokenizer } from '../../artifact/tokenizer.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { evaluateStudent } from '../../compressor/evaluate/student.ts';
import { cutWindows } from '../../compressor/evaluate/windows.ts';
import { loss } from '../../compressor/rank/loss.ts';
import { unfolded } from '../../compressor/student/planned-student.ts';
import { upgradeGguf } from '../fixtures/gguf-v1.ts';
import { requirement } from '../fixtures/requirement.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

/** Shared data beside the checkout; not part of the project. */
const data = process.env.FOLDGATE_DATA ?? '../shared/data';
const missing = existsSync(join(data, 'stories260K'))
  ? undefined
  : `no stories260K in ${data}: set FOLDGATE_DATA.`;

/**
 * llama2.c's model of 260,000 parameters: nats a token on TinyStories, whole and without one of its layers,
 * measured by another implementation on another cut of the same text.
 */
const known = { whole: 1.4328, without: [4.38, 2.7, 2.118, 2.32, 2.317] };

describe('stories260K', () => {
  it('has the losses that are known of it, also without a layer', async (ctx) => {
    requirement(ctx, missing);
    const path = join(await temporaryFolder(), 'stories260K.gguf');
    await writeFile(path, upgradeGguf(await readFile(join(data, 'stories260K/stories260K-f32.gguf'))));
    const checkpoint = await openCheckpoint(path);
    const text = await readFile(join(data, 'tinystories/tinystories_val.txt'), 'utf8');
    const paragraphs = text.split('\n\n').slice(0, 30);
    const tokenizer = parseTokenizer(await checkpoint.tokenizerFiles(), path);
    const cuts = paragraphs.map((paragraph) => cutWindows(tokenizer, paragraph, 512));
    const windows = {
      windows: cuts.flatMap((cut) => cut.windows),
      targets: cuts.flatMap((cut) => cut.targets),
      tokens: cuts.reduce((sum, cut) => sum + cut.tokens, 0),
    };
    const { nll } = await evaluateStudent(unfolded(checkpoint), windows);
    const { scores: rises } = await loss(checkpoint, windows);
    await checkpoint.close();
    expect(Math.abs(nll - known.whole)).toBeLessThan(0.15);
    for (const [layer, rise] of rises.entries()) {
      const expected = known.without[layer]! - known.whole;
      expect(rise / expected, `layer ${layer}`).toBeGreaterThan(0.75);
      expect(rise / expected, `layer ${layer}`).toBeLessThan(1.35);
    }
  });
});
