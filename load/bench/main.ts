import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  type Bits,
  type Contender,
  contenders,
  foldgateContender,
  ownPrograms,
} from '../peers/contenders.ts';
import { engineSpeed } from '../peers/engine-speed.ts';
import { coldStart } from './cold-start.ts';
import { writeDocs } from './docs.ts';
import { closedRound, openRound } from './load-round.ts';
import { type BenchResults, cellOf, type LoadCell, type LoadRound, middle } from './results.ts';
import { tables } from './tables.ts';

/**
 * Foldgate, unfolded and folded, beside llama.cpp on the same model, machine and run. Rounds are interleaved:
 * every contender goes once before any goes again.
 */
const { values: flags } = parseArgs({
  options: {
    checkpoint: { type: 'string', default: '.cache/models/SmolLM2-135M-Instruct.Q4_1.gguf' },
    folded: { type: 'string' },
    'kv-cache': { type: 'string' },
    'prompt-weights': { type: 'string' },
    head: { type: 'string', default: '8' },
    programs: { type: 'string', default: ownPrograms },
    streams: { type: 'string' },
    rounds: { type: 'string' },
    threads: { type: 'string', default: String(availableParallelism()) },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    docs: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h' },
  },
});
if (flags.help) {
  process.stdout.write(`Usage: npm run bench -- [options]

Cold start, time to the first token and between tokens, tokens a second at 1, 4, 16 and 64 streams, resident
memory and bytes stored: llama.cpp's llama-server (Q4_0; load/peers/llama-cpp.sh builds it), Foldgate unfolded,
Foldgate folded. Nothing else should run meanwhile.

  --checkpoint FILE    a GGUF file (default: SmolLM2-135M; npm run models:fetch)
  --folded URL         a folded model of it to measure instead of one that loses a fifth of the layers and
                       shares blocks among three, without a cure
  --kv-cache int8      the folded model once more, with keys and values in int8
  --prompt-weights int8  both once more, with prompts read by int8 weights; --folded needs them, the others are made
                       with them
  --head BITS          of embedding and head on all sides, 4 or 8 (default: 8)
  --streams LIST       (default: 1,4,16,64)
  --rounds N           (default: 3)
  --threads N          of each server (default: ${availableParallelism()}, the cores)
  --quick              1 and 16 streams, one round: two minutes, for trying out
  --json FILE          the results with every round
  --docs               into docs/benchmarks.md, with charts
  --programs DIR       llama.cpp's (default: ${ownPrograms})
`);
  process.exit(0);
}
const { quick, programs, threads, checkpoint } = flags;
const streams = (flags.streams ?? (quick ? '1,16' : '1,4,16,64')).split(',').map(Number);
const rounds = Number(flags.rounds ?? (quick ? 1 : 3));
/** Requests that each stream sends in a round; a single stream alone has more, as it has no others to average with. */
const wavesOf = (count: number) => (quick ? 1 : 2) * (count === 1 ? 4 : 1);
/** Slots and length of the open loop, and the part of llama.cpp's own throughput that is asked of everybody. */
const openLoopSlots = 16;
const openLoopSeconds = quick ? 8 : 40;
const openLoopLoad = 0.7;

for (const [flag, usual] of [
  ['kv-cache', 'float32'],
  ['prompt-weights', 'the same as for answers'],
] as const) {
  const given = flags[flag];
  if (given === undefined || given === 'int8') continue;
  process.stderr.write(`--${flag} takes int8, not ${given}: ${usual} is measured anyway.\n`);
  process.exit(2);
}
const log = (line: string) => process.stderr.write(`${line}\n`);
for (const [what, path, how] of [
  ['the model', checkpoint, 'npm run models:fetch'],
  ["llama.cpp's programs", join(programs, 'llama-server'), 'load/peers/llama-cpp.sh'],
] as const) {
  if (existsSync(path)) continue;
  log(`${path}, ${what}, is not there. Run: ${how}`);
  process.exit(1);
}

const all = await prepare();
const results = await measure();
process.stdout.write(`${['', `## ${results.model}`, '', ...tables(results)].join('\n')}\n`);
if (flags.json) {
  await mkdir(dirname(flags.json), { recursive: true });
  await writeFile(flags.json, `${JSON.stringify(results, undefined, 2)}\n`);
}
if (flags.docs) await writeDocs(results);

async function prepare(): Promise<Contender[]> {
  const head = Number(flags.head) as Bits;
  const promptWeights = flags['prompt-weights'] as 'int8' | undefined;
  const rounded = ['--calibrate', 'none', ...(promptWeights ? ['--prompt-weights', promptWeights] : [])];
  const made = await contenders({
    checkpoint,
    heads: [head],
    folder: promptWeights ? '.cache/load/prompt-weights' : '.cache/load/models',
    programs,
    foldOptions: { unfolded: rounded, folded: [...rounded, '--rank', 'uniform'] },
  });
  if (flags.folded) made[2] = await foldgateContender('foldgate, folded', flags.folded, head);
  const ours = made.filter(({ engine }) => engine === 'foldgate');
  const more: Contender[] = [];
  for (const { name, model } of promptWeights ? ours : [])
    more.push(await foldgateContender(`${name}, int8 for prompts`, model, head, { promptWeights }));
  if (!flags['kv-cache']) return [...made, ...more];
  const { name, model } = ours.at(-1)!;
  const int8 = { kvCache: 'int8' as const, promptWeights };
  const what = promptWeights ? 'int8 for prompts and KV cache' : 'int8 KV cache';
  return [...made, ...more, await foldgateContender(`${name}, ${what}`, model, head, int8)];
}

async function measure(): Promise<BenchResults> {
  const results: BenchResults = {
    model: basename(checkpoint).replace(/\.gguf$/, ''),
    machine: {
      processor: cpus()[0]!.model.trim(),
      cores: cpus().length,
      memoryBytes: totalmem(),
      threads: Number(threads),
      node: process.versions.node,
    },
    command: `npm run bench -- ${process.argv.slice(2).join(' ')}`.trim(),
    date: new Date().toISOString().slice(0, 10),
    contenders: all.map(({ name, bytes }) => ({ name, bytes })),
    coldStarts: all.map(({ name }) => ({ contender: name, firstTokenMs: [] })),
    engines: quick ? [] : all.map(({ name }) => ({ contender: name, prefill: [], decode: [] })),
    closed: [],
    open: [],
  };
  for (let round = 0; round < rounds; round++) {
    await each('cold start', round, async (contender, i) => {
      results.coldStarts[i]!.firstTokenMs.push(await coldStart(contender, { programs, threads }));
    });
    for (const count of streams) {
      await each(`${count} streams`, round, async (contender) => {
        const by = { programs, threads, slots: count };
        note(results.closed, contender, count, await closedRound(contender, by, wavesOf(count)));
      });
    }
    if (quick) continue;
    const test = { programs, threads, promptTokens: '128', decodedTokens: '64' };
    await each('engine alone', round, async (contender, i) => {
      const { prefill, decode } = await engineSpeed(contender, test);
      results.engines[i]!.prefill.push(prefill);
      results.engines[i]!.decode.push(decode);
    });
  }
  const peer = cellOf(results.closed, all[0]!.name, openLoopSlots);
  if (peer === undefined) return results;
  // As many requests for all as the peer can just take well, so that queues stay short.
  const perSecond = (openLoopLoad * middle(peer, ({ tokensPerSecond }) => tokensPerSecond)) / 64;
  for (let round = 0; round < rounds; round++) {
    await each(`open loop, ${perSecond.toFixed(2)} requests a second`, round, async (contender) => {
      const by = { programs, threads, slots: openLoopSlots };
      const measured = await openRound(contender, by, { seconds: openLoopSeconds, perSecond });
      Object.assign(note(results.open, contender, openLoopSlots, measured), { perSecond });
    });
  }
  return results;
}

/** Every contender once; who begins moves on from round to round. */
async function each(
  what: string,
  round: number,
  work: (contender: Contender, index: number) => Promise<void>,
) {
  for (let turn = 0; turn < all.length; turn++) {
    const index = (turn + round) % all.length;
    log(`round ${round + 1} of ${rounds}, ${what}: ${all[index]!.name}`);
    await work(all[index]!, index);
  }
}

function note(cells: LoadCell[], { name }: Contender, streams: number, round: LoadRound): LoadCell {
  let cell = cellOf(cells, name, streams);
  if (!cell) {
    cell = { contender: name, streams, rounds: [] };
    cells.push(cell);
  }
  cell.rounds.push(round);
  return cell;
}
