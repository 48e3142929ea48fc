import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { usualPool } from '../../compressor/adapter/adapter.ts';
import { foldgate } from '../fixtures/command-line.ts';
import { picoPath } from '../fixtures/pico.ts';
import { picoData } from '../fixtures/pico-cure.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

interface Folded {
  quality: { stage: string; perplexity: number }[];
}

describe('foldgate fold --data', () => {
  it("cures on the text, by the checkpoint's probabilities or the text's own tokens", async () => {
    const [folder, data] = [await temporaryFolder(), await picoData()];
    const fold = async (name: string, ...more: string[]) => {
      const out = `file:${join(folder, name)}`;
      const args = ['--remove', '0.34', '--data', data, '--cure-tokens', '4096', '--learning-rate', '3e-3'];
      const { code, stdout, stderr } = await foldgate(
        ...['fold', picoPath('llama'), ...args, '--quantize', 'none', '--out', out, '--json', ...more],
      );
      expect(stderr).toContain('held-out perplexity');
      expect(code).toBe(0);
      const { quality } = JSON.parse(stdout) as Folded;
      return quality.find(({ stage }) => stage === 'cured')!.perplexity / quality[0]!.perplexity;
    };
    const distilled = await fold('distilled');
    const trained = await fold('trained', '--cross-entropy', '1');
    // The checkpoint knows nothing of this text: whoever learns from it alone stays near it.
    expect(distilled).toBeGreaterThan(0.9);
    expect(trained).toBeLessThan(0.8);
  });

  it('follows few of the gradients by --optimizer sparsegrad, and tells what that saves', async () => {
    const [folder, data] = [await temporaryFolder(), await picoData()];
    const args = ['--remove', '0.34', '--data', data, '--cure-tokens', '4096', '--learning-rate', '3e-3'];
    const { code, stdout, stderr } = await foldgate(
      ...['fold', picoPath('llama'), ...args, '--optimizer', 'sparsegrad:0.02', '--quantize', 'none'],
      ...['--out', `file:${join(folder, 'sparse')}`, '--json'],
    );
    expect(stderr).toMatch(/Curing takes .* there are, [\d.]+ \w+ (less|more) than by AdamW\.\n/);
    expect(stderr).toContain('Choosing gradients to follow: 8/8');
    expect(code).toBe(0);
    const { quality } = JSON.parse(stdout) as Folded;
    const [removed, cured] = ['layers removed', 'cured'].map(
      (name) => quality.find(({ stage }) => stage === name)!,
    );
    expect(cured!.perplexity).toBeLessThan(removed!.perplexity);
  });

  it('trains the pools of adapters alone, and publishes a model that runs', async () => {
    const [folder, data] = [await temporaryFolder(), await picoData()];
    const out = `file:${join(folder, 'pooled')}`;
    const shape = ['--remove', '0.34', '--refill', 'previous', '--adapter', 'mos:4', '--quantize', 'int8:32'];
    const cure = [
      '--data',
      data,
      '--cure-tokens',
      '4096',
      '--cure-train',
      'adapters',
      '--cross-entropy',
      '0.5',
    ];
    const folded = await foldgate('fold', picoPath('llama'), ...shape, ...cure, '--out', out, '--json');
    expect(folded.code, folded.stderr).toBe(0);
    const { quality } = JSON.parse(folded.stdout) as Folded;
    const perplexity = (stage: string) => quality.find((each) => each.stage === stage)!.perplexity;
    expect(perplexity('cured')).toBeLessThan(perplexity('adapted'));
    expect(perplexity('quantized') / perplexity('cured')).toBeCloseTo(1, 1);
    const { stdout } = await foldgate('inspect', out, '--json');
    const { layers, folding } = JSON.parse(stdout);
    expect(layers.filter((layer: { adapter?: true }) => layer.adapter)).toHaveLength(1);
    expect(folding.options.adapter.pool).toEqual(usualPool);
    const ran = await foldgate('run', out, 'the girl', '--raw', '--seed', '1', '--max-tokens', '8');
    expect(ran.code, ran.stderr).toBe(0);
    expect(ran.stdout.trim()).not.toBe('');
  });

  it('trains adapters together, and publishes them as they run', async () => {
    const [folder, data] = [await temporaryFolder(), await picoData()];
    const out = `file:${join(folder, 'together')}`;
    const shape = [
      '--remove',
      '0.34',
      '--refill',
      'tied',
      '--adapter',
      'orchestrated:4',
      '--quantize',
      'none',
    ];
    const cure = ['--data', data, '--cure-tokens', '4096', '--cure-train', 'adapters', '--coding', 'zstd'];
    const folded = await foldgate('fold', picoPath('llama'), ...shape, ...cure, '--out', out, '--json');
    expect(folded.code, folded.stderr).toBe(0);
    expect(folded.stderr).toContain('low-rank matrices of rank 4 (trained together)');
    const { quality } = JSON.parse(folded.stdout) as Folded;
    const perplexity = (stage: string) => quality.find((each) => each.stage === stage)!.perplexity;
    expect(quality.at(-1)!.perplexity / perplexity('adapted')).toBeLessThan(1);
    const { folding } = JSON.parse((await foldgate('inspect', out, '--json')).stdout);
    expect(folding.options.adapter).toEqual({ gains: false, rank: 4, orchestra: { components: 4 } });
  });

  it('refuses forms of adapters that are none, and those that cannot be calibrated so', async () => {
    const fold = (...args: string[]) => foldgate('fold', picoPath('llama'), '--out', 'file:y', ...args);
    const wrong = await fold('--adapter', 'mos');
    expect(wrong.stderr).toContain(
      'mos:RANK or orchestrated:RANK, or one of these three behind gain+, with a rank of 1 to 1024, not mos.',
    );
    const scaled = await fold('--share', '3', '--adapter', 'mos:4', '--calibrate', 'awq');
    expect(scaled.stderr).toContain('Take --calibrate gptq, or --adapter lora.');
    expect([wrong.code, scaled.code]).toEqual([2, 2]);
  });

  it('has nothing to do where nothing is folded, unless it is told to', async () => {
    const [folder, data] = [await temporaryFolder(), await picoData()];
    const fold = (name: string, ...more: string[]) =>
      foldgate(
        ...['fold', picoPath('llama'), '--data', data, '--out', `file:${join(folder, name)}`],
        ...['--quantize', 'none', '--json', ...more],
      );
    const whole = await fold('whole');
    expect(whole.stderr).toContain('nothing to cure');
    expect((JSON.parse(whole.stdout) as Folded).quality.map(({ stage }) => stage)).not.toContain('cured');
    const told = await fold('told', '--cure-tokens', '1024');
    expect((JSON.parse(told.stdout) as Folded).quality.map(({ stage }) => stage)).toContain('cured');
  });

  it('refuses a share of the loss that is none', async () => {
    const { code, stderr } = await foldgate('fold', 'x', '--out', 'file:y', '--cross-entropy', '1.5');
    expect(stderr).toContain('A number from 0 to 1 is expected');
    expect(code).toBe(2);
  });
});
