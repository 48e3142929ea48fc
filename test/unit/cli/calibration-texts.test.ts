import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { calibrationTexts } from '../../../cli/calibration-texts.ts';
import { tokensToFit } from '../../../compressor/calibration/amounts.ts';
import { defaultFitText } from '../../../compressor/calibration/default-fit-text.ts';
import { defaultText } from '../../../compressor/calibration/default-text.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
import type { TextWindows } from '../../../compressor/evaluate/windows.ts';
import { picoPath } from '../../fixtures/pico.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

it('offers what stands in for layers as much text as it needs, however little layers are ranked on', async () => {
  const calibration = join(await temporaryFolder(), 'text.txt');
  await writeFile(calibration, 'Once upon a time there was a fox who lived in a wood. '.repeat(2000));
  const checkpoint = await openCheckpoint(picoPath('llama'));
  const texts = await calibrationTexts(checkpoint, {
    calibration,
    calibrationTokens: 512,
    calibrate: 'none',
  });
  await checkpoint.close();
  expect(texts.text.tokens).toBeLessThan(700);
  const patched = texts.fit({ patch: 'linear' }).tokens;
  expect(patched).toBeGreaterThan(0.95 * tokensToFit({ patch: 'linear' }));
  expect(texts.fit({ patch: 'block' }).tokens).toBeGreaterThan(1.5 * patched);
});

const textsOf = async (flags: { calibration?: string; calibrationTokens: number }) => {
  const checkpoint = await openCheckpoint(picoPath('llama'));
  const texts = await calibrationTexts(checkpoint, { ...flags, calibrate: 'gptq' });
  await checkpoint.close();
  return texts;
};
/** Windows of more than chance that two texts have in common. */
const common = (a: TextWindows, b: Int32Array[]) => {
  const known = new Set(a.windows.map((window) => window.join()));
  return b.filter((window) => known.has(window.join())).length;
};

it('measures built-in quality on a text that nothing was ranked or fitted on', async () => {
  const texts = await textsOf({ calibrationTokens: 2048 });
  const { text, calibrate, quality } = texts;
  const fitted = texts.fit({ patch: 'linear' });
  for (const seen of [text, fitted]) {
    expect(common(quality.text, seen.windows)).toBe(0);
    expect(seen.tokens).toBeGreaterThan(2000);
  }
  expect(common(quality.text, calibrate!().windows)).toBe(0);
  expect(fitted.tokens).toBeGreaterThan(5000);
  // Not a sentence of one is in the other.
  const sentences = (of: string) => of.split(/(?<=[.!?])\s+/).filter(({ length }) => length > 20);
  const known = new Set(sentences(defaultFitText));
  expect(sentences(defaultText).filter((sentence) => known.has(sentence))).toEqual([]);
});

it('fits patches on what of a file is not measured on, where enough is left', async () => {
  const calibration = join(await temporaryFolder(), 'numbers.txt');
  await writeFile(
    calibration,
    Array.from({ length: 4000 }, (_, i) => `Number ${i} is ${i * 7919}.`).join(' '),
  );
  const texts = await textsOf({ calibration, calibrationTokens: 1024 });
  const { quality, calibrate } = texts;
  const patch = texts.fit({ patch: 'linear' });
  expect(common(quality.text, patch.windows)).toBe(0);
  expect(common(quality.text, calibrate!().windows)).toBe(0);
  expect(patch.tokens).toBe(patch.windows.reduce((sum, { length }) => sum + length - 1, 0));
  expect(patch.targets.map(({ length }) => length)).toEqual(patch.windows.map(({ length }) => length));
  // A text that is measured on to its end has to serve both.
  await writeFile(calibration, 'A short text. '.repeat(40));
  const short = await textsOf({ calibration, calibrationTokens: 1024 });
  expect(short.fit({ patch: 'linear' }).windows).toEqual(short.quality.text.windows);
});
