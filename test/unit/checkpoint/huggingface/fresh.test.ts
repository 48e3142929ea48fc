import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { freshCheckpoint } from '../../../../compressor/checkpoint/huggingface/fresh.ts';
import { picoFamilies, picoPath } from '../../../fixtures/pico.ts';
import { temporaryFolder } from '../../../fixtures/temporary-folder.ts';

/** A folder without weights. */
async function configOf(family: (typeof picoFamilies)[number], changed: object = {}): Promise<string> {
  const folder = await temporaryFolder();
  const config = JSON.parse(await readFile(join(picoPath(family), 'config.json'), 'utf8'));
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, ...changed }));
  await copyFile(join(picoPath(family), 'tokenizer.json'), join(folder, 'tokenizer.json'));
  return folder;
}

describe('a model that has learnt nothing yet', () => {
  it.each(picoFamilies)('has the architecture of its config: %s', async (family) => {
    const { architecture, tensor } = await freshCheckpoint(await configOf(family), 1);
    expect(await tensor('norm').read()).toEqual(new Float32Array(architecture.width).fill(1));
    expect(tensor('layers.1.mlp.down').shape).toEqual([architecture.width, architecture.intermediateSize]);
    if (architecture.qkvBias)
      expect((await tensor('layers.0.attention.q.bias').read()).every((value) => value === 0)).toBe(true);
  });

  it('has normal weights, smaller ones into the residual stream, as config.json says', async () => {
    const deviation = 0.05;
    const { architecture, tensor } = await freshCheckpoint(
      await configOf('llama', { initializer_range: deviation }),
      1,
    );
    const spread = (values: Float32Array) =>
      Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length);
    const up = await tensor('layers.0.mlp.up').read();
    expect(spread(up) / deviation).toBeCloseTo(1, 1);
    // As many beyond one deviation as of a normal distribution: 31.7%.
    expect(up.filter((value) => Math.abs(value) > deviation).length / up.length).toBeCloseTo(0.317, 1);
    const out = spread(await tensor('layers.0.mlp.down').read());
    expect((out * Math.sqrt(2 * architecture.layers.length)) / deviation).toBeCloseTo(1, 1);
  });

  it('is the same for the same seed, in any range of rows', async () => {
    const folder = await configOf('llama');
    const [one, same, other] = await Promise.all([1, 1, 2].map((seed) => freshCheckpoint(folder, seed)));
    const role = 'layers.1.attention.q' as const;
    const whole = await one!.tensor(role).read();
    expect(await same!.tensor(role).read()).toEqual(whole);
    expect(await other!.tensor(role).read()).not.toEqual(whole);
    expect(await one!.tensor('layers.0.attention.q').read()).not.toEqual(whole);
    const [, columns] = one!.tensor(role).shape as [number, number];
    expect(await one!.tensor(role).read(5, 2)).toEqual(whole.subarray(5 * columns, 7 * columns));
  });

  it.each([
    [{ vocab_size: 100 }, /embedding has 100 rows/],
    [{ head_dim: 24 }, /heads of 24.*multiple of 16/],
    [{ architectures: ['GPT2LMHeadModel'] }, /names the architecture GPT2LMHeadModel/],
  ])('is refused where %j', async (changed, message) => {
    await expect(freshCheckpoint(await configOf('llama', changed), 1)).rejects.toThrow(message);
  });

  it('is refused where there is nothing', async () => {
    await expect(freshCheckpoint('/nowhere', 1)).rejects.toThrow(/no folder/);
    await expect(freshCheckpoint(await temporaryFolder(), 1)).rejects.toThrow(/says what model to train/);
    const folder = await temporaryFolder();
    await copyFile(join(picoPath('llama'), 'config.json'), join(folder, 'config.json'));
    await expect(freshCheckpoint(folder, 1)).rejects.toThrow(/tokenizer.json does not exist/);
  });
});
