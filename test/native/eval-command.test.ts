import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { main } from '../../cli/main.ts';
import { openCheckpoint } from '../../compressor/checkpoint/open.ts';
import { foldgate, startFoldgate } from '../fixtures/command-line.ts';
import { evaluationFile, evaluationGolden } from '../fixtures/evaluation.ts';
import { foldInto } from '../fixtures/fold-into.ts';

const tales = join(import.meta.dirname, '../../checkpoints/tales-5m');
const [text, choices, words] = ['text.txt', 'choices.jsonl', 'words.jsonl'].map(evaluationFile) as [
  string,
  string,
  string,
];
let folder: string;
let model: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldgate-eval-'));
  model = `file:${join(folder, 'store')}/tales`;
  const checkpoint = await openCheckpoint(tales);
  await foldInto(folder, checkpoint, { name: 'tales', share: 2, quantize: 'int4' });
  await checkpoint.close();
  await writeFile(join(folder, 'prompts.txt'), 'Once upon a time\n\nThe dog was very\r\n');
  await writeFile(join(folder, 'prompts.jsonl'), '{"prompt": "Once upon a time\\nthere"}\n{"prompt": 3}\n');
  await writeFile(join(folder, 'broken.jsonl'), '{"query": "a", "choices": ["b", "c"], "gold": 2}\n');
});
afterAll(() => rm(folder, { recursive: true }));

/** In this process: starting one for each call takes too long. */
async function called(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const result = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    vi.spyOn(process[stream], 'write').mockImplementation((chunk) => {
      result[stream] += String(chunk);
      return true;
    });
  }
  try {
    return { code: await main(['eval', ...args]), ...result };
  } finally {
    vi.restoreAllMocks();
  }
}

async function json(...args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await foldgate('eval', ...args, '--json');
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
}

describe('eval', () => {
  it('--stride tells perplexity and the protocol', async () => {
    const golden = (await evaluationGolden('tales-5m')).strided[0]!;
    const protocol = ['--window', '64', '--stride', '16'];
    const quality = await json(tales, '--text', text, ...protocol);
    expect(Object.keys(quality)).toEqual(['perplexity', 'nll', 'tokens', 'window', 'stride', 'bos']);
    expect(quality).toMatchObject({ tokens: golden.tokens, window: 64, stride: 16, bos: 'first' });
    expect(quality.nll).toBeCloseTo(golden.nll, 3);
    expect(await json(tales, '--text', text, ...protocol, '--bos', 'each')).toMatchObject({ bos: 'each' });
    const { stdout } = await foldgate('eval', tales, '--text', text, ...protocol);
    expect(stdout).toMatch(
      /^perplexity \d+\.\d{3} \(\d\.\d{4} nats a token\) over 241 tokens in windows of 64, stride 16, the text begun, no other window\n$/,
    );
  });

  it('--task tells scores of a checkpoint and of a folded model', async () => {
    for (const evaluated of [tales, model]) {
      const score = await json(evaluated, '--task', choices);
      expect(Object.keys(score).slice(0, 4)).toEqual(['accuracy', 'accuracyNorm', 'stderr', 'items']);
      expect(score.items).toBe(10);
    }
    expect(await json(model, '--task', choices, '--limit', '3')).toMatchObject({ items: 3 });
    const ending = await json(tales, '--task', words);
    expect(Object.keys(ending)).toEqual([
      'accuracy',
      'accuracyNorm',
      'stderr',
      'items',
      'perplexity',
      'truncated',
    ]);
    expect(await json(tales, '--task', words, '--limit', '1')).toMatchObject({ stderr: null, items: 1 });
    const { stdout } = await foldgate('eval', model, '--task', choices);
    expect(stdout).toMatch(
      /^accuracy \d+\.\d% \+- \d+\.\d over 10 items\naccuracy by log-likelihood a character \d+\.\d%, a byte \d+\.\d%\n$/,
    );
  });

  it('--delimiter changes what is scored', async () => {
    const [plain, odd] = await Promise.all([
      json(tales, '--task', words),
      json(tales, '--task', words, '--delimiter', ' xyz'),
    ]);
    expect(odd.perplexity).toBeGreaterThan(2 * (plain.perplexity as number));
  });

  it('--generate tells repetition and agreement', async () => {
    const result = await json(
      model,
      '--generate',
      join(folder, 'prompts.txt'),
      '--tokens',
      '20',
      '--teacher',
      tales,
    );
    const names = [
      'distinct1',
      'distinct2',
      'distinct3',
      'repeated4',
      'loops',
      'agreement',
      'tokens',
      'texts',
    ];
    expect(Object.keys(result)).toEqual(names);
    expect(result.tokens).toBe(40);
    expect(result.texts).toMatchObject([
      { prompt: 'Once upon a time', text: expect.stringMatching(/^,? [a-z]/), tokens: 20 },
      { prompt: 'The dog was very', tokens: 20, prefix: expect.any(Number) },
    ]);
    const { prefixShare, meanPrefix, nextToken } = result.agreement as Record<string, number>;
    expect(prefixShare).toBeCloseTo(meanPrefix! / 20, 12);
    expect(nextToken).toBeGreaterThanOrEqual(prefixShare!);
    expect(nextToken).toBeLessThanOrEqual(1);
  });

  it('--generate has prompts of its own, and says it in words', async () => {
    const { stdout } = await foldgate('eval', model, '--generate', '--tokens', '5', '--teacher', model);
    expect(stdout).toMatch(/^8 texts, 40 tokens, each the likeliest\n/);
    expect(stdout).toContain(
      'until the first difference from the teacher: 5.0 tokens a text, 100.0% of all\n',
    );
  });

  it('ends at Ctrl-C with 130 and nothing on stdout', async () => {
    const { child, result } = startFoldgate(['eval', tales, '--generate', '--tokens', '400']);
    child.stderr!.once('data', () => child.kill('SIGINT')); // "Writing ..."
    const { code, stdout, stderr } = await result;
    expect(code).toBe(130);
    expect(stdout).toBe('');
    expect(stderr).toContain('Interrupted.');
  });
});

describe('a wrong call of eval', () => {
  it.each<[number, string, () => string[]]>([
    [2, 'One of --text, --task and --generate is expected, none was given.', () => [tales]],
    [2, 'is expected, not --text and --task.', () => [tales, '--text', text, '--task', choices]],
    [2, 'is expected, not --task and --generate.', () => [tales, '--task', choices, '--generate']],
    [2, '--window has no meaning with --task.', () => [tales, '--task', choices, '--window', '64']],
    [2, '--tokens has no meaning with --task.', () => [tales, '--task', choices, '--tokens', '64']],
    [2, '--limit has no meaning with --text.', () => [tales, '--text', text, '--limit', '3']],
    [2, '--teacher has no meaning with --text.', () => [tales, '--text', text, '--teacher', tales]],
    [2, '--stride has no meaning with --generate.', () => [tales, '--generate', '--stride', '3']],
    [2, '--bos goes with --stride', () => [tales, '--text', text, '--bos', 'each']],
    [2, 'Allowed choices are each, first', () => [tales, '--text', text, '--stride', '4', '--bos', 'all']],
    [2, '--stride 65 would skip', () => [tales, '--text', text, '--window', '64', '--stride', '65']],
    [2, 'the stride can be 1 to 256, not 300', () => [tales, '--text', text, '--stride', '300']],
    [2, '--window takes 16 tokens or more, not 15', () => [tales, '--text', text, '--window', '15']],
    [2, 'A whole number above 0 is expected', () => [tales, '--task', choices, '--limit', '0']],
    [2, 'No task could be read from', () => [tales, '--task', join(folder, 'none.jsonl')]],
    [
      1,
      'broken.jsonl, line 1: gold should be',
      () => ['s3://nowhere/x', '--task', join(folder, 'broken.jsonl')],
    ],
    [
      1,
      'prompts.jsonl, line 2: prompt should be',
      () => [tales, '--generate', join(folder, 'prompts.jsonl')],
    ],
    [
      2,
      'beyond the context of 512 tokens. Ask for fewer --tokens',
      () => [tales, '--generate', '--tokens', '510'],
    ],
  ])('ends with %i and says: %s', async (code, message, args) => {
    const result = await called(...args());
    expect(result.stderr).toContain(message);
    expect(result.stderr).not.toMatch(/^ +at /m);
    expect(result.stdout).toBe('');
    expect(result.code).toBe(code);
  });
});
