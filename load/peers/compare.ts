import { readFile, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { type Contender, contenders, foldgate, ownPrograms, serverOf } from './contenders.ts';
import { engineSpeed } from './engine-speed.ts';
import { complete, freePort, memoryOf, withServer } from './process.ts';
import { median, type Row, table } from './table.ts';

/**
 * Foldgate beside llama.cpp on one model: speed in interleaved rounds, memory of the servers with the
 * same context in use, perplexity on the same text by the same protocol. llama.cpp runs Q4_0, whose
 * kernels are its fastest; embedding and head have the same bits on both sides of a comparison.
 */
const { values: flags } = parseArgs({
  options: {
    checkpoint: { type: 'string' },
    text: { type: 'string' },
    programs: { type: 'string', default: ownPrograms },
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
                      ${ownPrograms})
  --rounds N          interleaved rounds (default 5)
  --threads N         of either engine (default 2)
  --eval-tokens N     of the text, for perplexity (default 4096)
  --json FILE         results as JSON too
`);
  process.exit(flags.help ? 0 : 2);
}
const { checkpoint, text, threads } = flags as { checkpoint: string; text: string; threads: string };
const rounds = Number(flags.rounds);
const decodedTokens = '64';
const test = { programs: flags.programs, threads, promptTokens: '128', decodedTokens };
/** Tokens in use when memory is read. */
const contextTokens = 1024;
const folder = '.cache/peers/models';

const log = (line: string) => process.stderr.write(`${line}\n`);
const all = await contenders({ checkpoint, heads: [8, 4], folder, programs: flags.programs });
const speeds = new Map<string, { prefill: number[]; decode: number[] }>();
for (let round = 0; round < rounds; round++) {
  for (const contender of all) {
    log(`round ${round + 1} of ${rounds}: ${contender.name}`);
    const { prefill, decode } = await engineSpeed(contender, test);
    const seen = speeds.get(contender.name) ?? { prefill: [], decode: [] };
    seen.prefill.push(prefill);
    seen.decode.push(decode);
    speeds.set(contender.name, seen);
  }
}
const rows: Row[] = [];
for (const contender of all) {
  log(`memory, HTTP and perplexity: ${contender.name}`);
  const { prefill, decode } = speeds.get(contender.name)!;
  const peer = speeds.get(
    all.find(({ engine, head }) => engine === 'llama.cpp' && head === contender.head)!.name,
  )!;
  const ratios = (own: number[], other: number[]) => own.map((value, round) => value / other[round]!);
  rows.push({
    name: contender.name,
    prefill: median(prefill),
    decode: median(decode),
    prefillRatio: median(ratios(prefill, peer.prefill)),
    decodeRatio: median(ratios(decode, peer.decode)),
    ...(await measureServer(contender, 'cut')),
    residentByDefault: (await measureServer(contender, 'default')).resident,
    perplexity: await perplexityOf(contender),
  });
}
const machine = `${cpus()[0]?.model.trim()}, ${cpus().length} cores, ${threads} threads each, ${rounds} rounds`;
process.stdout.write(`${table(checkpoint, machine, rows)}\n`);
if (flags.json)
  await writeFile(flags.json, `${JSON.stringify({ checkpoint, machine, rows }, undefined, 2)}\n`);

/**
 * Memory with the context in use, and tokens/s through HTTP.
 * @param limits `cut`: the server is told that no more context and no second sequence will come; `default`:
 * it is started as anybody starts it, and the same context is in use
 */
async function measureServer(contender: Contender, limits: 'cut' | 'default') {
  const server = serverOf(contender, {
    programs: flags.programs,
    port: await freePort(),
    threads,
    limits: limits === 'cut' ? { slots: 1, context: contextTokens } : undefined,
  });
  return withServer(server, async ({ pid }) => {
    const prose = await readFile(text, 'utf8');
    const request = { model: server.model, temperature: 0, ignore_eos: true };
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
    const { resident, anonymous } = await memoryOf(pid);
    return { http, resident, anonymous };
  });
}

/** llama.cpp's weights run in float32 by Foldgate's evaluation, Foldgate's own with its own kernels. */
async function perplexityOf({ model }: Contender): Promise<number> {
  const args = ['eval', model, '--text', text, '--tokens', flags['eval-tokens'], '--json'];
  return JSON.parse(await foldgate(...args)).perplexity;
}
