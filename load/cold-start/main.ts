import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { firstToken } from '../bench/cold-start.ts';
import { median } from '../bench/results.ts';
import { type Contender, contenders, ownPrograms, serverOf } from '../peers/contenders.ts';
import { foldgateServer, freePort, startServer } from '../peers/process.ts';
import { allowance, type Phases, phasesOf } from './phases.ts';
import { s3Program, startSlowS3, upload } from './slow-s3.ts';
import { Line } from './throttle.ts';

/**
 * From the start of the process to the first token of a streamed completion, with the model in S3 and an empty
 * cache: beside what the bytes alone take, and beside llama-server once the same line has brought its file.
 */
const { values: flags } = parseArgs({
  options: {
    checkpoint: {
      type: 'string',
      multiple: true,
      default: ['.cache/models/SmolLM2-135M-Instruct.Q4_1.gguf'],
    },
    bandwidth: { type: 'string', default: '75' },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: String(availableParallelism()) },
    programs: { type: 'string', default: ownPrograms },
    json: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (flags.help) {
  process.stdout.write(`Usage: npm run bench:cold-start -- [options]

  --checkpoint FILE    a GGUF file; may be repeated (default: SmolLM2-135M)
  --bandwidth MB       a second, shared by all connections; 75 is a function's on AWS; 0 for no limit (default: 75)
  --rounds N           interleaved (default: 5)
  --threads N          of each server (default: ${availableParallelism()})
  --programs DIR       llama.cpp's; left out of the comparison where they are not there
  --json FILE          every round's phases

Needs versitygw: npm run s3:install.
`);
  process.exit(0);
}
const { threads, programs } = flags;
const megabytesPerSecond = Number(flags.bandwidth) || Infinity;
const bytesPerSecond = megabytesPerSecond * 1e6;
const log = (line: string) => process.stderr.write(`${line}\n`);
if (!existsSync(s3Program)) {
  log(`${s3Program} is not there. Run: npm run s3:install`);
  process.exit(1);
}

interface Result {
  name: string;
  bytes: number;
  floorMs: number;
  rounds: Phases[];
}

const s3 = await startSlowS3(bytesPerSecond);
try {
  const results: Result[] = [];
  for (const checkpoint of flags.checkpoint) results.push(...(await measure(checkpoint)));
  process.stdout.write(`${report(results)}\n`);
  if (flags.json) await writeFile(flags.json, `${JSON.stringify(results, undefined, 2)}\n`);
} finally {
  await s3.stop();
}

async function measure(checkpoint: string): Promise<Result[]> {
  const rounded = ['--calibrate', 'none'];
  const made = await contenders({
    checkpoint,
    heads: [4],
    folder: '.cache/load/models',
    programs,
    foldOptions: { unfolded: rounded, folded: [...rounded, '--rank', 'uniform'] },
  });
  const model = basename(checkpoint).replace(/\.gguf$/, '');
  const results = made.map(({ name, bytes }) => ({
    name: `${model}, ${name}`,
    bytes,
    floorMs: (bytes / bytesPerSecond) * 1000,
    rounds: [] as Phases[],
  }));
  for (const { engine, model } of made) if (engine === 'foldgate') await upload(s3, model);
  for (let round = 0; round < Number(flags.rounds); round++) {
    for (const [i, contender] of made.entries()) {
      log(`round ${round + 1} of ${flags.rounds}: ${results[i]!.name}`);
      const start = contender.engine === 'foldgate' ? foldgateStart : llamaStart;
      results[i]!.rounds.push(await start(contender));
    }
  }
  return results;
}

/** With an empty cache, so that every byte comes over the line. */
async function foldgateStart({ model }: Contender): Promise<Phases> {
  const name = model.split('/').at(-1)!;
  const cache = await mkdtemp(join(tmpdir(), 'foldgate-cold-cache-'));
  const options = { threads, cache, slots: '1', context: '1024' };
  const command = foldgateServer(s3.bucketUrl, name, await freePort(), options);
  s3.passed();
  const server = startServer(command, s3.slow);
  try {
    const first = await firstToken(server, command.url, name);
    return phasesOf(server.startedAt, s3.passed(), first);
  } finally {
    await server.stop();
    await rm(cache, { recursive: true, force: true });
  }
}

/** The file over a line of the same bandwidth, then the server on it: it cannot begin before. */
async function llamaStart(contender: Contender): Promise<Phases> {
  const file = join(await mkdtemp(join(tmpdir(), 'foldgate-cold-file-')), 'model.gguf');
  try {
    const begin = performance.now();
    const line = new Line(bytesPerSecond);
    await pipeline(createReadStream(contender.model), line.stream(), createWriteStream(file));
    const blobs = performance.now() - begin;
    const limits = { slots: 1, context: 1024 };
    const command = serverOf(
      { ...contender, model: file },
      { programs, port: await freePort(), threads, limits },
    );
    const server = startServer(command);
    try {
      const { firstTokenMs } = await firstToken(server, command.url, command.model);
      const total = blobs + firstTokenMs;
      return { init: 0, manifest: 0, blobs, session: firstTokenMs, prefill: Number.NaN, total };
    } finally {
      await server.stop();
    }
  } finally {
    await rm(file, { force: true });
  }
}

function report(results: Result[]): string {
  const cell = (result: Result, phase: keyof Phases) =>
    median(result.rounds.map((round) => round[phase])).toFixed(0);
  const rows = results.map((result) => {
    const total = median(result.rounds.map((round) => round.total));
    const allowed = allowance(result.floorMs);
    const verdict = total <= allowed ? 'yes' : 'no';
    return [
      result.name,
      (result.bytes / 1e6).toFixed(0),
      ...(['init', 'manifest', 'blobs', 'session', 'prefill', 'total'] as const).map((phase) =>
        cell(result, phase),
      ),
      result.floorMs.toFixed(0),
      `${allowed.toFixed(0)} (${verdict})`,
    ];
  });
  const head = [
    '',
    'MB',
    'init',
    'manifest',
    'blobs',
    'session',
    'of it prefill',
    'total',
    'bytes alone',
    '1.2x + 300',
  ];
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const limit = Number.isFinite(megabytesPerSecond) ? `${megabytesPerSecond} MB/s` : 'no limit';
  return [
    `${cpus()[0]!.model.trim()}, ${cpus().length} cores, ${threads} threads, ${limit}, ${flags.rounds} rounds; ms, medians`,
    '',
    line(head),
    line(head.map(() => '---')),
    ...rows.map(line),
  ].join('\n');
}
