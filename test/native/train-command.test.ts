import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { foldgate } from '../fixtures/command-line.ts';
import { picoPath } from '../fixtures/pico.ts';
import { picoData } from '../fixtures/pico-cure.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

const quick = ['--length', '32', '--tokens-per-step', '128', '--held-out', '0.1'];

describe('foldgate train', () => {
  it('trains a shared model that folds into its blocks without loss', async () => {
    const folder = await temporaryFolder();
    const [out, data] = [join(folder, 'trained'), await picoData()];
    const args = ['train', picoPath('llama'), '--data', data, '--out', out, '--share', '2', '--form', 'F32'];
    const { code, stdout, stderr } = await foldgate(...args, ...quick, '--tokens', '7680', '--json');
    expect(stderr).toContain('held-out perplexity');
    expect(code).toBe(0);
    const { before, after, tokens, path } = JSON.parse(stdout);
    expect([path, tokens]).toEqual([out, 7680]);
    expect(after.perplexity).toBeLessThan(0.5 * before.perplexity);
    const metrics = await readFile(join(out, 'training/metrics.jsonl'), 'utf8');
    expect(metrics.trim().split('\n').length).toBeGreaterThan(60);

    const target = `file:${join(folder, 'models')}/trained`;
    const options = ['--share', '2', '--quantize', 'none', '--calibration', data, '--out', target, '--json'];
    const folded = await foldgate('fold', out, ...options);
    expect(folded.stderr).toContain('running 2 distinct blocks');
    const { quality } = JSON.parse(folded.stdout) as { quality: { stage: string; perplexity: number }[] };
    expect(quality.map(({ stage }) => stage)).toEqual(['checkpoint', 'blocks shared']);
    expect(quality[1]!.perplexity / quality[0]!.perplexity).toBeCloseTo(1, 5);
  });

  it.each([
    [['--tokens', '100'], 1, /no training data at/],
    [['--tokens', '100', '--learning-rate', '-1'], 2, /--learning-rate is above 0/],
    [['--tokens', 'many'], 2, /number is expected/],
    [['--tokens', '100', '--share', '9'], 2, /--share takes a number from 1 to 3/],
    [['--tokens', '100', '--length', '100000'], 2, /from 2 to the model's context/],
  ])('refuses %j', async (options, wanted, message) => {
    const out = join(await temporaryFolder(), 'out');
    const args = ['train', picoPath('llama'), '--data', '/nowhere.txt', '--out', out, ...options];
    const { code, stderr } = await foldgate(...args);
    expect(stderr).toMatch(message);
    expect(code).toBe(wanted);
  });
});
