import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { forgetProgramText } from '../../artifact/onnxruntime/program-text.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { foldInto, withDecoder } from '../fixtures/fold-into.ts';
import { golden, maxDifference, picoPath } from '../fixtures/pico.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

/** Bytes of files in this process's memory. */
function fileBytes(): number {
  const [, kilobytes] = /^RssFile:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))!;
  return Number(kilobytes) * 1024;
}

it('leaves the process, and the program goes on', async () => {
  const checkpoint = await openCheckpoint(picoPath('llama'));
  const folded = await foldInto(await temporaryFolder(), checkpoint);
  await checkpoint.close();
  const { tokens, logits } = await golden('llama');
  await withDecoder(folded, 64, async (decoder) => {
    decoder.runAll(decoder.newCache(), tokens);
    const before = process.platform === 'linux' ? fileBytes() : 0;
    const looked = await forgetProgramText();
    if (process.platform === 'linux') {
      expect(looked).toBeGreaterThan(50e6);
      expect(fileBytes()).toBeLessThan(before - 20e6);
    } else expect(looked).toBe(0);
    expect(maxDifference(decoder.runAll(decoder.newCache(), tokens), logits)).toBeLessThan(1e-3);
  });
});
