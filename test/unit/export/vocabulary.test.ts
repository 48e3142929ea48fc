import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Precision } from '../../../artifact/manifest.ts';
import { WeightWriter } from '../../../compressor/export/weights.ts';
import { roundToNearest } from '../../../compressor/quantize/blocks.ts';
import { parsePrecision, resolvePrecision } from '../../../compressor/quantize/precision.ts';
import { identityPlan, plannedStudent } from '../../../compressor/student/planned-student.ts';
import { picoArchitecture, randomCheckpoint } from '../../fixtures/random-checkpoint.ts';
import { temporaryFolder } from '../../fixtures/temporary-folder.ts';

describe('the embedding, written some thousand rows at a time', () => {
  // Parts end at 4096 and 8192; the last one has 809 rows.
  const vocabularySize = 9001;
  const checkpoint = randomCheckpoint({ ...picoArchitecture, width: 40, vocabularySize });
  const student = plannedStudent(checkpoint, identityPlan(1));

  async function write(quantize: string) {
    const plan = { layers: [{ source: 0, block: 0 }], weights: 'first', quantize } as const;
    const whole = { ...plan, version: 1 as const, checkpoint: 'x', checkpointLayers: 4, method: 'x' };
    const precision = resolvePrecision(
      checkpoint,
      { ...whole, layers: [...plan.layers] },
      parsePrecision(quantize),
    );
    const folder = await temporaryFolder();
    const rows: number[] = [];
    const writer = new WeightWriter({ student, precision, folder });
    const blob = await writer.vocabulary('embedding', (count) => void rows.push(count));
    expect(rows).toEqual([4096, 4096, 809]);
    const bytes = await readFile(join(folder, blob.sha256));
    return (name: string) => {
      const { offset, length, shape } = blob.tensors.find((tensor) => tensor.name === `embedding.${name}`)!;
      return { shape, bytes: bytes.subarray(offset, offset + length) };
    };
  }
  const sameBytes = (a: Uint8Array, b: ArrayBufferView) =>
    Buffer.compare(a, new Uint8Array(b.buffer, b.byteOffset, b.byteLength)) === 0;

  it.each([
    ['int8:32', 8, 32],
    ['int4,embedding=int4:128', 4, 128],
  ] as const)('is the whole table quantized as %s', async (quantize, bits, blockSize) => {
    const stored = await write(quantize);
    const table = await checkpoint.tensor('embedding').read();
    const wanted = roundToNearest(table, [vocabularySize, 40], bits, blockSize);
    expect(stored('values').shape).toEqual([vocabularySize, wanted.blocks, (blockSize * bits) / 8]);
    expect(stored('scales').shape).toEqual([vocabularySize, wanted.blocks]);
    expect(sameBytes(stored('values').bytes, wanted.values)).toBe(true);
    expect(sameBytes(stored('scales').bytes, wanted.scales)).toBe(true);
  });

  it('stops between two parts, and leaves nothing', async () => {
    const float: Precision = { bits: 32 };
    const precision = { qkv: float, output: float, gate: float, up: float, down: float, embedding: float };
    const folder = await temporaryFolder();
    let parts = 0;
    const writing = new WeightWriter({ student, precision, folder }).vocabulary('embedding', async () => {
      if (++parts === 2) throw new Error('Interrupted.');
    });
    await expect(writing).rejects.toThrow('Interrupted.');
    expect(parts).toBe(2);
    expect(await readdir(folder)).toEqual([]);
  });

  it('is the table itself in float32', async () => {
    const stored = await write('none');
    expect(stored('weight').shape).toEqual([vocabularySize, 40]);
    expect(sameBytes(stored('weight').bytes, await checkpoint.tensor('embedding').read())).toBe(true);
  });
});
