import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { calibrationTexts } from '../../../cli/calibration-texts.ts';
import { tokensToFit } from '../../../compressor/calibration/amounts.ts';
import { openCheckpoint } from '../../../compressor/checkpoint/open.ts';
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
