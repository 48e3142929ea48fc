import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { CompareRow } from '../../compressor/compare/row.ts';
import type { FoldPlan } from '../../compressor/plan/plan.ts';
import { foldgate } from '../fixtures/command-line.ts';
import { picoPath } from '../fixtures/pico.ts';
import { picoData } from '../fixtures/pico-cure.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';

interface Folded {
  quality: { stage: string; perplexity: number }[];
}

it('a plan with halves is folded, cured, trained to round and run', async () => {
  const [folder, data] = [await temporaryFolder(), await picoData()];
  const plan: FoldPlan = {
    version: 1,
    checkpoint: 'qwen2',
    checkpointLayers: 3,
    method: 'manual',
    layers: [
      { source: 0, block: 0 },
      { source: 1, block: 1, half: 'mlp' },
      { source: 2, block: 2, half: 'attention' },
    ],
    weights: 'first',
    quantize: 'int4:32',
  };
  const path = join(folder, 'plan.json');
  await writeFile(path, JSON.stringify(plan));
  const out = `file:${join(folder, 'halved')}`;
  const folded = await foldgate(
    ...['fold', picoPath('qwen2'), '--plan', path, '--data', data, '--cure-tokens', '4096'],
    ...['--learning-rate', '3e-3', '--quantize-aware', '1024', '--out', out, '--json'],
  );
  expect(folded.code, folded.stderr).toBe(0);
  const { quality } = JSON.parse(folded.stdout) as Folded;
  const perplexity = (name: string) => quality.find(({ stage }) => stage === name)!.perplexity;
  expect(perplexity('cured') / perplexity('layers removed')).toBeLessThan(1);
  expect(perplexity('quantized') / perplexity('cured')).toBeLessThan(1.2);

  const shown = await foldgate('inspect', out);
  expect(shown.stdout).toMatch(/mlp alone[\s\S]*attention alone/);
  const ran = await foldgate('run', out, 'the girl', '--raw', '--seed', '1', '--max-tokens', '8');
  expect(ran.code, ran.stderr).toBe(0);
  expect(ran.stdout.trim()).not.toBe('');
  const explained = await foldgate('explain', out);
  expect(explained.stdout).toMatch(/1 ▄ .* of which it runs the MLP alone/);
});

it('a comparison has blockpruner beside others, and a report of both', async () => {
  const folder = await temporaryFolder();
  const report = join(folder, 'report.html');
  const compared = await foldgate(
    ...['compare', picoPath('gemma3'), '--methods', 'blockpruner,loss', '--budget', '0.25'],
    ...[
      '--data',
      await picoData(),
      '--cure-tokens',
      '0',
      '--quantize',
      'int8:32',
      '--held-out-tokens',
      '256',
    ],
    ...['--out', join(folder, 'comparison'), '--report', report, '--json'],
  );
  expect(compared.code, compared.stderr).toBe(0);
  const { rows }: { rows: CompareRow[] } = JSON.parse(compared.stdout);
  const [halves, whole] = ['blockpruner', 'loss'].map((name) => rows.find(({ method }) => method === name)!);
  // Attention and MLP have as many parameters here: a quarter of four layers is two halves.
  expect(halves!.saved).toBeCloseTo(0.25, 6);
  expect(whole!.saved).toBeCloseTo(0.25, 6);
  const page = await readFile(report, 'utf8');
  expect(page).toMatch(/(attention|MLP) of layer 1: [\d.e-]+, (kept|removed)/);
});
