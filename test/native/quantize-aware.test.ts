import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { foldgate } from '../fixtures/command-line.ts';
import { stories } from '../fixtures/tale-text.ts';

interface Folded {
  quality: { stage: string; perplexity: number }[];
}

let folder: string;
let data: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldgate-aware-'));
  data = join(folder, 'tales.jsonl');
  await writeFile(data, stories.map((text) => JSON.stringify({ text: text.trim() })).join('\n'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const fold = (name: string, ...more: string[]) =>
  foldgate(
    ...['fold', 'checkpoints/tales-5m', '--share', '2', '--data', data, '--cure-tokens', '0'],
    ...['--out', `file:${folder}/models/${name}`, '--json', ...more],
  );
const nearest = ['--calibrate', 'none'];
const stored = async (name: string) =>
  JSON.parse((await foldgate('inspect', `file:${folder}/models/${name}`, '--json')).stdout);
const perplexityOf = async (name: string, text: string) => {
  const { stdout } = await foldgate('eval', `file:${folder}/models/${name}`, '--text', text, '--json');
  return (JSON.parse(stdout) as { perplexity: number }).perplexity;
};

describe('foldgate fold --quantize-aware', () => {
  it('publishes the model that was trained to round well, where it does better', async () => {
    const { code, stdout, stderr } = await fold('aware', ...nearest, '--quantize-aware', '6144');
    expect(stderr).toContain('Training to round well');
    expect(code).toBe(0);
    const { quality } = JSON.parse(stdout) as Folded;
    const [, shared, plain, aware] = quality;
    expect(quality.map(({ stage }) => stage)).toEqual([
      ...['checkpoint', 'blocks shared', 'quantized', 'quantization-aware'],
    ]);
    expect(plain!.perplexity).toBeGreaterThan(shared!.perplexity);
    expect(aware!.perplexity).toBeLessThan(plain!.perplexity);
    const { quantization, distinctBlocks } = await stored('aware');
    expect(quantization.down).toMatchObject({ bits: 4 });
    expect(distinctBlocks).toBe(6);

    await fold('plain', ...nearest);
    expect((await stored('plain')).bytes).toBe((await stored('aware')).bytes);
    const text = join(folder, 'tales.txt');
    await writeFile(text, stories.join(''));
    expect(await perplexityOf('aware', text)).toBeLessThan(await perplexityOf('plain', text));
  }, 240_000);

  it.each(['3', '1e30'])(
    'publishes the fitted codes where training did worse (rate %s)',
    async (rate) => {
      const ruinous = ['--quantize-aware', '1024', '--learning-rate', rate];
      const { code, stdout } = await fold(`worse-${rate}`, ...ruinous);
      expect(code).toBe(0);
      const { quality } = JSON.parse(stdout) as Folded;
      const stages = quality.map(({ stage }) => stage);
      expect(stages.at(-1)).toBe('quantized');
      const aware = quality.find(({ stage }) => stage === 'quantization-aware');
      // What gives no numbers is not told of: there is nothing to tell.
      if (rate === '3') expect(quality.at(-1)!.perplexity).toBeLessThan(aware!.perplexity);
      else expect(aware).toBeUndefined();
    },
    240_000,
  );

  it('refuses where nothing is rounded', async () => {
    const { code, stderr } = await fold('refused', '--quantize-aware', '1024', '--quantize', 'none');
    expect(stderr).toContain('--quantize none rounds nothing');
    expect(code).toBe(2);
  });

  it('needs text', async () => {
    const out = ['--out', `file:${folder}/models/x`, '--quantize-aware', '1024'];
    const { code, stderr } = await foldgate('fold', 'checkpoints/tales-5m', ...out);
    expect(stderr).toContain('--quantize-aware needs text to train on: give --data');
    expect(code).toBe(2);
  });
});
