import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { complete, foldgateServer, freePort, memoryOf, run, withServer } from './process.ts';
import { median, type Row, table } from './table.ts';

/**
 * Foldgate beside llama.cpp on one model: speed in interleaved rounds, memory of the servers with the
 * same context in use, perplexity on the same text by the same protocol. llama.cpp runs Q4_0, whose
 * kernels are its fastest; embedding and head have the same bits on both sides of a comparison.
 */
const programsFolder = '.cache/peers/llama.cpp/build/bin';
const { values: flags } = parseArgs({
  options: {
    checkpoint: { type: 'string' },
    text: { type: 'string' },
    programs: { type: 'string', default: programsFolder },
    rounds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    'eval-tokens': { type: 'string', default: '4096' },
    json: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
});
if (flags.help || !flags.checkpoint || !flags.text) {
  process.stdout.write(`Usage: npm run bench:peers -- --checkpoint MODEL.gguf --text TEXT.txt [options]

  --programs DIR      llama.cpp's programs; load/peers/llama-cpp.sh builds them (default:
                      ${programsFolder})
  --rounds N          interleaved rounds (default 5)
  --threads N         of either engine (default 2)
  --eval-tokens N     of the text, for perplexity (default 4096)
  --json FILE         results as JSON too
`);
  process.exit(flags.help ? 0 : 2);
}
const { checkpoint, text, threads } = flags as { checkpoint: string; text: string; threads: string };
const rounds = Number(flags.rounds);
const [promptTokens, decodedTokens] = ['128', '64'];
/** Tokens in use when memory is read. */
const contextTokens = 1024;
const program = (name: string) => join(flags.programs, name);
const foldgate = (...args: string[]) => run(process.execPath, ['load/peers/built.mjs', ...args]);
const folder = '.cache/peers/models';

interface Contender {
  name: string;
  /** Bits of embedding and head. */
  head: 4 | 8;
  file?: string;
  url?: string;
}

const log = (line: string) => process.stderr.write(`${line}\n`);
const contenders = await prepare();
const speeds = new Map<string, { prefill: number[]; decode: number[] }>();
for (let round = 0; round < rounds; round++) {
  for (const contender of contenders) {
    log(`round ${round + 1} of ${rounds}: ${contender.name}`);
    const { prefill, decode } = await speedOf(contender);
    const all = speeds.get(contender.name) ?? { prefill: [], decode: [] };
    all.prefill.push(prefill);
    all.decode.push(decode);
    speeds.set(contender.name, all);
  }
}
const rows: Row[] = [];
for (const contender of contenders) {
  log(`memory, HTTP and perplexity: ${contender.name}`);
  const { prefill, decode } = speeds.get(contender.name)!;
  const peer = speeds.get(contenders.find(({ file, head }) => file && head === contender.head)!.name)!;
  const ratios = (own: number[], other: number[]) => own.map((value, round) => value / other[round]!);
  rows.push({
    name: contender.name,
    prefill: median(prefill),
    decode: median(decode),
    prefillRatio: median(ratios(prefill, peer.prefill)),
    decodeRatio: median(ratios(decode, peer.decode)),
    ...(await serverOf(contender, 'cut')),
    residentByDefault: (await serverOf(contender, 'default')).resident,
    perplexity: await perplexityOf(contender),
  });
}
const machine = `${cpus()[0]?.model.trim()}, ${cpus().length} cores, ${threads} threads each, ${rounds} rounds`;
process.stdout.write(`${table(checkpoint, machine, rows)}\n`);
if (flags.json)
  await writeFile(flags.json, `${JSON.stringify({ checkpoint, machine, rows }, undefined, 2)}\n`);

/** The model in each form, made once. */
async function prepare(): Promise<Contender[]> {
  await mkdir(folder, { recursive: true });
  const base = checkpoint
    .split('/')
    .at(-1)!
    .replace(/\.gguf$/, '');
  const list: Contender[] = [];
  for (const head of [8, 4] as const) {
    const file = join(folder, `${base}-q4_0-head${head}.gguf`);
    if (!existsSync(file)) {
      const form =
        head === 4 ? ['--pure'] : ['--token-embedding-type', 'q8_0', '--output-tensor-type', 'q8_0'];
      await run(program('llama-quantize'), ['--allow-requantize', ...form, checkpoint, file, 'Q4_0']);
    }
    list.push({ name: `llama.cpp Q4_0, int${head} head`, head, file });
    const quantize = `int4:128,embedding=int${head}:128`;
    for (const [form, ...options] of [
      ['unfolded'],
      ['folded', '--remove', '0.2', '--share', '3', '--rank', 'loss', '--calibration-tokens', '1024'],
    ] as const) {
      const url = `file:${folder}/${base}-${form}-head${head}`;
      if (!existsSync(`${folder}/models/${base}-${form}-head${head}/current.json`)) {
        await foldgate('fold', checkpoint, '--quantize', quantize, ...options, '--no-quality', '--out', url);
      }
      list.push({ name: `foldgate int4, int${head} head, ${form}`, head, url });
    }
  }
  return list;
}

async function speedOf({ file, url }: Contender): Promise<{ prefill: number; decode: number }> {
  if (url) {
    const bench = ['load/peers/engine-bench.ts', url, threads, promptTokens, decodedTokens, '3'];
    return JSON.parse(await run(process.execPath, bench));
  }
  const args = ['-m', file!, '-t', threads, '-p', promptTokens, '-n', decodedTokens, '-r', '3', '-o', 'json'];
  const tests = JSON.parse(await run(program('llama-bench'), args)) as { n_prompt: number; avg_ts: number }[];
  return {
    prefill: tests.find((test) => test.n_prompt > 0)!.avg_ts,
    decode: tests.find((test) => test.n_prompt === 0)!.avg_ts,
  };
}

/**
 * Memory with the context in use, and tokens/s through HTTP.
 * @param limits `cut`: the server is told that no more context and no second sequence will come; `default`:
 * it is started as anybody starts it, and the same context is in use
 */
async function serverOf({ file, url }: Contender, limits: 'cut' | 'default') {
  const port = await freePort();
  const [name] = url?.split('/').slice(-1) ?? ['model'];
  const context = String(contextTokens);
  const cut = limits === 'cut';
  const server = file
    ? {
        program: program('llama-server'),
        args: [
          '-m',
          file,
          '-t',
          threads,
          ...(cut ? ['-c', context, '-np', '1'] : []),
          '--port',
          String(port),
        ],
        url: `http://127.0.0.1:${port}`,
        path: '/health',
      }
    : foldgateServer(folder, name!, port, { threads, ...(cut && { context, slots: '1' }) });
  return withServer(server, async ({ pid }) => {
    const prose = await readFile(text, 'utf8');
    const request = { model: name, temperature: 0, ignore_eos: true };
    await complete(server.url, { ...request, prompt: prose.slice(0, 500), max_tokens: 8 }); // warm-up
    const started = performance.now();
    const short = await complete(server.url, {
      ...request,
      prompt: 'The',
      max_tokens: Number(decodedTokens),
    });
    const http = (1000 * short.usage.completion_tokens) / (performance.now() - started);
    // As much text as fits, then up to the full context.
    let prompt = prose.slice(0, 2000);
    let used = (await complete(server.url, { ...request, prompt, max_tokens: 1 })).usage.prompt_tokens;
    prompt = prose.slice(0, Math.floor((2000 / used) * contextTokens * 0.9));
    used = (await complete(server.url, { ...request, prompt, max_tokens: 1 })).usage.prompt_tokens;
    await complete(server.url, { ...request, prompt, max_tokens: contextTokens - used - 1 });
    const { resident, anonymous } = await memoryOf(pid!);
    return { http, resident, anonymous };
  });
}

/** llama.cpp's weights run in float32 by Foldgate's evaluation, Foldgate's own with its own kernels. */
async function perplexityOf({ file, url }: Contender): Promise<number> {
  const args = ['eval', file ?? url!, '--text', text, '--tokens', flags['eval-tokens'], '--json'];
  return JSON.parse(await foldgate(...args)).perplexity;
}
