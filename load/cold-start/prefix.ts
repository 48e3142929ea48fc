import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { type FirstToken, firstToken } from '../bench/cold-start.ts';
import { scenario } from '../bench/load-round.ts';
import { median } from '../bench/results.ts';
import { foldgate } from '../peers/contenders.ts';
import { foldgateServer, freePort, run, startServer } from '../peers/process.ts';
import { sharedText } from '../scenario/requests.ts';
import { type SlowS3, s3Program, startSlowS3, upload } from './slow-s3.ts';

/**
 * From the start of the process to the first token of a prompt with a long beginning, with the model in S3 and an
 * empty cache: with that beginning stored beside the model, and without.
 */
const { values: flags } = parseArgs({
  options: {
    checkpoint: { type: 'string', default: '.cache/models/SmolLM2-135M-Instruct.Q4_1.gguf' },
    bandwidth: { type: 'string', multiple: true, default: ['75'] },
    words: { type: 'string', default: '400' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: String(availableParallelism()) },
    json: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (flags.help) {
  process.stdout.write(`Usage: npm run bench:prefix -- [options]

  --checkpoint FILE    a checkpoint, folded without calibration (default: SmolLM2-135M)
  --bandwidth MB       a second, shared by all connections; may be repeated; 0 for no limit (default: 75)
  --words N            of the beginning that is stored; 400 are about 500 tokens (default: 400)
  --rounds N           with and without in turns (default: 5)
  --threads N          of each server (default: ${availableParallelism()})
  --json FILE          every round

Needs versitygw: npm run s3:install.
`);
  process.exit(0);
}
if (!existsSync(s3Program)) {
  process.stderr.write(`${s3Program} is not there. Run: npm run s3:install\n`);
  process.exit(1);
}

const kind = { name: 'long', share: 1, words: [8, 8] as [number, number], sharedWords: Number(flags.words) };
const asked = { ...scenario, prompts: [{ ...kind, maxTokens: 2 }] };
const forms = ['without', 'with'] as const;

interface Result {
  megabytesPerSecond: number;
  prefix: { tokens: number; bytes: number; computeMs: number };
  rounds: Record<(typeof forms)[number], FirstToken[]>;
}

const model = await folded(flags.checkpoint);
const results: Result[] = [];
for (const bandwidth of flags.bandwidth) results.push(await measure(Number(bandwidth) || Infinity));
process.stdout.write(`${report()}\n`);
if (flags.json) await writeFile(flags.json, `${JSON.stringify(results, undefined, 2)}\n`);

/** @returns its URL; made once */
async function folded(checkpoint: string): Promise<string> {
  const name = `${basename(checkpoint).replace(/\.gguf$/, '')}-prefix`;
  const folder = '.cache/load/models';
  const url = `file:${folder}/${name}`;
  const rounded = ['--quantize', 'int4:128', '--calibrate', 'none', '--no-quality'];
  if (!existsSync(`${folder}/models/${name}/current.json`))
    await foldgate('fold', checkpoint, ...rounded, '--out', url);
  return url;
}

async function measure(megabytesPerSecond: number): Promise<Result> {
  const s3 = await startSlowS3(megabytesPerSecond * 1e6);
  try {
    await upload(s3, model);
    const result = { megabytesPerSecond, prefix: await addPrefix(s3), rounds: { without: [], with: [] } };
    for (let round = 0; round < Number(flags.rounds); round++) {
      for (const form of forms) {
        process.stderr.write(`${megabytesPerSecond} MB/s, round ${round + 1} of ${flags.rounds}: ${form}\n`);
        (result as Result).rounds[form].push(await start(s3, form === 'with'));
      }
    }
    return result;
  } finally {
    await s3.stop();
  }
}

async function addPrefix({ bucketUrl, fast }: SlowS3): Promise<Result['prefix']> {
  const folder = await mkdtemp(join(tmpdir(), 'foldgate-prefix-text-'));
  const url = `${bucketUrl}/${basename(model)}`;
  const env = { ...process.env, ...fast, FOLDGATE_CACHE: folder };
  const prefixes = (...args: string[]) =>
    run(process.execPath, ['load/peers/built.mjs', 'prefixes', ...args], env);
  try {
    const file = join(folder, 'beginning.txt');
    await writeFile(file, sharedText(asked, asked.prompts[0]!));
    await prefixes('add', url, '--text', file, '--threads', flags.threads);
    return JSON.parse(await prefixes('list', url, '--json'))[0];
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** With an empty cache, so that every byte comes over the line. */
async function start(s3: SlowS3, stored: boolean): Promise<FirstToken> {
  const name = basename(model);
  const cache = await mkdtemp(join(tmpdir(), 'foldgate-cold-cache-'));
  const command = foldgateServer(s3.bucketUrl, name, await freePort(), {
    threads: flags.threads,
    cache,
    slots: '1',
    context: '2048',
  });
  const server = startServer(command, { ...s3.slow, FOLDGATE_STORED_PREFIXES: String(stored) });
  try {
    return await firstToken(server, command.url, name, asked);
  } finally {
    await server.stop();
    await rm(cache, { recursive: true, force: true });
  }
}

function report(): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`;
  const head = [
    'MB/s',
    'prefix',
    'computed in',
    'over the line',
    '',
    'first token',
    'of it prompt',
    'cached',
  ];
  const rows = results.flatMap(({ megabytesPerSecond, prefix, rounds }) =>
    forms.map((form) => {
      const middle = (field: keyof FirstToken) => median(rounds[form].map((round) => round[field]));
      return line([
        megabytesPerSecond,
        `${prefix.tokens} tokens, ${(prefix.bytes / 1e6).toFixed(1)} MB`,
        prefix.computeMs.toFixed(0),
        (prefix.bytes / megabytesPerSecond / 1000).toFixed(0),
        form,
        middle('firstTokenMs').toFixed(0),
        middle('prefillMs').toFixed(0),
        `${middle('cachedTokens')} of ${middle('promptTokens')}`,
      ]);
    }),
  );
  return [
    `${cpus()[0]!.model.trim()}, ${cpus().length} cores, ${flags.threads} threads, ${basename(model)}, ${flags.rounds} ` +
      'rounds; ms, medians',
    '',
    line(head),
    line(head.map(() => '---')),
    ...rows,
  ].join('\n');
}
