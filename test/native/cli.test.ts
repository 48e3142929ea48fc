import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { main } from '../../cli/main.ts';
import { checkPlan } from '../../compressor/plan/plan.ts';
import { type CommandResult, startFoldgate } from '../fixtures/command-line.ts';
import { picoPath } from '../fixtures/pico.ts';

const pico = picoPath('llama');
let folder: string;
let store: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foldgate-cli-'));
  store = join(folder, 'store');
  await writeFile(join(folder, 'text.txt'), 'Once upon a time there was a little girl. '.repeat(40));
  await mkdir(join(folder, 'blocked/models/x/current.json'), { recursive: true });
  await writeFile(join(folder, 'long.txt'), 'The bird said that it was hungry, so she left. '.repeat(3000));
});
afterAll(() => rm(folder, { recursive: true }));

const start = (...args: string[]) => startFoldgate(args, { FOLDGATE_CACHE: join(folder, 'cache') });
const foldgate = (...args: string[]): Promise<CommandResult> => start(...args).result;
const file = (name: string) => join(folder, name);
const modelUrl = (name: string) => `file:${store}/${name}`;

/** Runs a command that must succeed. */
async function output(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await foldgate(...args);
  expect(code, stderr).toBe(0);
  return stdout;
}

describe('plan', () => {
  it('prints a table for people and nothing else on stdout', async () => {
    const { code, stdout, stderr } = await foldgate('plan', pico, '--remove', '0.3', '--rank', 'influence');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Fold plan for llama \(llama, 3 layers\)\n/);
    expect(stdout).toMatch(/^ {4}1 +\d\.\d{4} {2}removed$/m);
    expect(stderr).toContain('Ranking layers by influence');
  });

  it('ranks the layers though none is to go, and tells what removing would save', async () => {
    const stdout = await output('plan', pico);
    for (const layer of [0, 1, 2])
      expect(stdout).toMatch(new RegExp(`^ {4}${layer} +-?\\d\\.\\d{4} {2}block`, 'm'));
    expect(stdout).toMatch(/^removing +parameters +bytes +layers that go\n--remove 0\.2 +\d+\.\d% .* 1$/m);
  });

  it('names the block that a layer comes back with', async () => {
    const args = ['--method', 'flexigpt', '--remove', '0.3', '--json'];
    const { code, stdout, stderr } = await foldgate('plan', pico, ...args);
    expect(code, stderr).toBe(0);
    const { layers, adapter } = checkPlan(
      JSON.parse(stdout),
      { name: 'llama', layers: 3, intermediateSize: 64 },
      'stdout',
    );
    expect(layers[1]).toEqual({ source: 1, block: expect.any(Number), refill: true });
    expect(adapter).toEqual({ gains: true, rank: 16 });
    expect(stderr).toContain('Looking for the nearest blocks');
  });

  it('prints a plan as JSON that fold carries out', async () => {
    const args = ['--remove', '0.3', '--share', '2', '--weights', 'weighted', '--quantize', 'int8:32'];
    const json = await output('plan', pico, ...args, '--json');
    const plan = checkPlan(JSON.parse(json), { name: 'llama', layers: 3, intermediateSize: 64 }, 'stdout');
    expect(plan).toMatchObject({ method: 'loss', weights: 'weighted', quantize: 'int8:32' });
    expect(plan.layers).toHaveLength(2);
    await writeFile(file('plan.json'), json);
    await output('fold', pico, '--plan', file('plan.json'), '--out', modelUrl('planned'), '--no-quality');
    const { folding, layers } = JSON.parse(await output('inspect', modelUrl('planned'), '--json'));
    expect(folding.options).toEqual({ plan, calibrationTokens: 2048 }); // and no option that had no say
    expect(layers).toMatchObject(plan.layers);
  });
});

describe('fold, inspect and eval', () => {
  let folded: CommandResult;
  beforeAll(async () => {
    const flags = ['--share', '3', '--quantize', 'none', '--calibration', file('text.txt')];
    folded = await foldgate('fold', pico, ...flags, '--out', modelUrl('shared'), '--json');
  });

  it('fold prints one JSON object, everything else on stderr', () => {
    expect(folded.code, folded.stderr).toBe(0);
    const { url, version, bytes, parameters, quality, ...rest } = JSON.parse(folded.stdout);
    expect(rest).toEqual({});
    expect(url).toBe(modelUrl('shared'));
    expect(version).toMatch(/^[0-9a-f]{64}$/);
    expect(bytes).toBeGreaterThan(4 * parameters.folded);
    expect(parameters.folded).toBeLessThan(parameters.original);
    expect(quality.map((step: { stage: string }) => step.stage)).toEqual(['checkpoint', 'blocks shared']);
    for (const told of ['Fold plan for llama', 'Folding', 'Perplexity on', 'Published shared']) {
      expect(folded.stderr).toContain(told);
    }
  });

  it('fold prints the URL alone without --json', async () => {
    const stdout = await output('fold', pico, '--out', modelUrl('plain'), '--no-quality');
    expect(stdout).toBe(`${modelUrl('plain')}\n`);
  });

  it('inspect shows the manifest', async () => {
    const { version, quality } = JSON.parse(folded.stdout);
    const summary = JSON.parse(await output('inspect', modelUrl('shared'), '--json'));
    expect(summary).toMatchObject({ name: 'shared', version, distinctBlocks: 1 });
    expect(summary.quality.map((step: { perplexity: number }) => step.perplexity)).toEqual(
      quality.map((step: { perplexity: number }) => step.perplexity),
    );
    expect(await output('inspect', modelUrl('shared'))).toContain('3, running 1 distinct block');
  });

  it('eval prints {perplexity, nll, tokens} of a folded model and of a checkpoint', async () => {
    await output('fold', pico, '--quantize', 'none', '--out', modelUrl('same'), '--no-quality');
    const evaluate = async (model: string, ...flags: string[]) =>
      JSON.parse(await output('eval', model, '--text', file('text.txt'), '--json', ...flags));
    const [checkpoint, same, shared, half] = await Promise.all([
      evaluate(pico),
      evaluate(modelUrl('same')),
      evaluate(modelUrl('shared')),
      evaluate(pico, '--tokens', '100', '--window', '64'),
    ]);
    for (const quality of [checkpoint, same, shared]) {
      expect(Object.keys(quality)).toEqual(['perplexity', 'nll', 'tokens']);
      expect(quality.perplexity).toBeCloseTo(Math.exp(quality.nll), 6);
      expect(quality.tokens).toBe(checkpoint.tokens);
    }
    expect(same.nll).toBeCloseTo(checkpoint.nll, 4);
    // What fold measured on the same text, in windows of the same length.
    expect(shared.nll).toBeCloseTo(JSON.parse(folded.stdout).quality[1].nll, 6);
    expect(half.tokens).toBe(126);
  });

  it('eval says it in words without --json', async () => {
    const stdout = await output('eval', pico, '--text', file('text.txt'), '--tokens', '60');
    // The default window is longer than this model's context of 128 tokens.
    expect(stdout).toMatch(
      /^perplexity \d+\.\d{3} \(\d+\.\d{4} nats a token\) over 127 tokens in windows of 128\n$/,
    );
  });
});

describe('a wrong call', () => {
  /** In this process: starting one for each takes too long. */
  async function called(...args: string[]): Promise<CommandResult> {
    const result = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) {
      vi.spyOn(process[stream], 'write').mockImplementation((text) => {
        result[stream] += text;
        return true;
      });
    }
    try {
      const code = await main(args);
      return { code, ...result };
    } finally {
      vi.restoreAllMocks();
    }
  }

  it.each<[code: number, message: string, args: () => string[]]>([
    [2, '--remove takes a share', () => ['plan', pico, '--remove', '2']],
    [2, 'only 1 may go', () => ['plan', pico, '--remove', '0.7']],
    [2, '"int5"', () => ['plan', pico, '--quantize', 'int5']],
    [2, '--out', () => ['fold', pico]],
    [2, 'unknown option', () => ['fold', pico, '--wat', '--out', modelUrl('x')]],
    [2, 'No plan could be read', () => ['fold', pico, '--plan', file('none.json'), '--out', modelUrl('x')]],
    [
      2,
      '--remove, --quantize cannot be used with --plan',
      () => [
        'fold',
        pico,
        '--plan',
        file('p.json'),
        '--quantize',
        'int4',
        '--remove',
        '0',
        '--out',
        modelUrl('x'),
      ],
    ],
    // The store, before the checkpoint is looked at, which is not there either.
    [1, 'where a folder is', () => ['fold', file('none'), '--out', `file:${file('blocked')}/x`]],
    [2, 'No text could be read', () => ['eval', pico, '--text', file('none.txt')]],
    [2, '--window 4096 is beyond', () => ['eval', pico, '--text', file('text.txt'), '--window', '4096']],
    [1, 'There is no checkpoint at', () => ['fold', file('none'), '--out', modelUrl('x')]],
    [
      1,
      'There is no checkpoint at that path either.',
      () => ['eval', file('typo'), '--text', file('text.txt')],
    ],
    [1, 'There is no model', () => ['eval', modelUrl('none'), '--text', file('text.txt')]],
    [1, 'layers', () => ['fold', picoPath('gemma3'), '--plan', file('plan.json'), '--out', modelUrl('x')]],
  ])('ends with %i and says: %s', async (code, message, args) => {
    const result = await called(...args());
    expect(result.stderr).toContain(message);
    expect(result.stderr).not.toMatch(/^ +at /m); // a message, no stack
    expect(result.stdout).toBe('');
    expect(result.code).toBe(code);
    expect(await readdir(join(store, 'models'))).not.toContain('x');
  });

  it('ends the process so too', async () => {
    const { code, stdout, stderr } = await foldgate('plan', pico, '--remove', '2');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toBe('foldgate: --remove takes a share from 0 to below 1, not 2.\n');
  });

  it.each(['plan', 'fold', 'eval'])(
    '%s --help shows the options and an example on stdout',
    async (command) => {
      const { code, stdout: help } = await called(command, '--help');
      expect(code).toBe(0);
      expect(help).toMatch(/^Usage: foldgate /);
      expect(help).toMatch(new RegExp(`Examples?:\\n +foldgate ${command} `));
    },
  );
});

describe('an interrupted fold', () => {
  const flags = ['--share', '2', '--quantize', 'int8'];

  /** Ends a fold while it measures, all blobs written and nothing published. */
  async function interrupted(name: string, signal: NodeJS.Signals): Promise<CommandResult> {
    const calibration = ['--calibration', file('long.txt'), '--calibration-tokens', '1000000'];
    const { child, result } = start('fold', pico, ...flags, ...calibration, '--out', modelUrl(name));
    let told = '';
    child.stderr!.on('data', (text) => {
      told += text;
      if (!child.killed && told.includes('Measuring: checkpoint')) child.kill(signal);
    });
    return result;
  }
  const models = () => readdir(join(store, 'models'));
  const works = () => readdir(join(folder, 'cache', 'folds'));

  it('leaves no model, and is taken up by the same command', async () => {
    const first = await interrupted('cut', 'SIGINT');
    expect(first.code, first.stderr).toBe(130);
    expect(first.stderr).toContain('Interrupted.');
    expect(first.stdout).toBe('');
    expect(await models()).not.toContain('cut');
    expect(await works()).toHaveLength(1);

    const second = await foldgate('fold', pico, ...flags, '--out', modelUrl('cut'), '--no-quality');
    expect(second.code, second.stderr).toBe(0);
    // Two blocks, norms, rotary tables, embedding, head, and scales of the other text's cache.
    expect(second.stderr).toContain('Took up an interrupted fold: 7 steps were done already.');
    expect(await models()).toContain('cut');
    expect(await works()).toEqual([]);
  });

  it('is the same model that an undisturbed fold gives, even after a kill', async () => {
    expect((await interrupted('killed', 'SIGKILL')).code).toBe(null);
    expect(await models()).not.toContain('killed');
    await output('fold', pico, ...flags, '--out', modelUrl('killed'), '--no-quality');
    const blobsOf = async (name: string) =>
      JSON.parse(await output('inspect', modelUrl(name), '--json')).blobs;
    expect(await blobsOf('killed')).toEqual(await blobsOf('cut'));
    const store = JSON.parse(await readFile(join(folder, 'store/models/killed/current.json'), 'utf8'));
    expect(store.manifest).toMatch(/^[0-9a-f]{64}$/);
  });
});
