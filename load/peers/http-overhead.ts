import { parseArgs } from 'node:util';
import { complete, foldgateServer, freePort, run, stream, withServer } from './process.ts';
import { median } from './table.ts';

/**
 * What HTTP, tokens' text and sampling add to the engine's decoding: the same number of tokens from an empty
 * cache, through /v1/completions and by the decoder alone, in turn.
 *
 * Usage: node http-overhead.ts --store FOLDER --model NAME [--tokens 200] [--rounds 7] [--threads 2]
 */
const { values: flags } = parseArgs({
  options: {
    store: { type: 'string', default: './models' },
    model: { type: 'string', default: 'tales-5m' },
    tokens: { type: 'string', default: '200' },
    rounds: { type: 'string', default: '7' },
    threads: { type: 'string', default: '2' },
  },
});
const tokens = Number(flags.tokens);
const { store, model, threads } = flags;
const server = foldgateServer(store, model, await freePort(), { threads });
/** Tries whose median counts, after one that does not: on either side. */
const tries = 3;
const bench = ['load/peers/engine-bench.ts', `${store}/${model}`, threads, '16', flags.tokens, String(tries)];

const ways = {
  greedy: { temperature: 0, send: complete },
  sampled: { temperature: 1, send: complete },
  streamed: { temperature: 0, send: stream },
};

await withServer(server, async () => {
  const overHttp = async ({ temperature, send }: (typeof ways)[keyof typeof ways]) => {
    const body = { model, prompt: 'The', max_tokens: tokens, temperature, ignore_eos: true };
    const speeds: number[] = [];
    for (let i = -1; i < tries; i++) {
      const start = performance.now();
      await send(server.url, body);
      if (i >= 0) speeds.push((1000 * tokens) / (performance.now() - start));
    }
    return median(speeds);
  };
  const engine: number[] = [];
  const results = new Map<string, number[]>(Object.keys(ways).map((name) => [name, []]));
  for (let round = 0; round < Number(flags.rounds); round++) {
    engine.push(JSON.parse(await run(process.execPath, bench)).decode);
    for (const [name, way] of Object.entries(ways)) results.get(name)!.push(await overHttp(way));
  }
  process.stdout.write(`decoder alone  ${median(engine).toFixed(1)} tokens/s\n`);
  for (const [name, speeds] of results) {
    const ratio = median(speeds.map((speed, round) => speed / engine[round]!));
    const speed = `${median(speeds).toFixed(1)} tokens/s`;
    process.stdout.write(`${`HTTP, ${name}`.padEnd(14)} ${speed} (${ratio.toFixed(3)}x)\n`);
  }
});
