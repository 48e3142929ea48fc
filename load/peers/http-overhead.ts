import { parseArgs } from 'node:util';
import { complete, foldgateServer, freePort, run, withServer } from './process.ts';
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
const bench = ['load/peers/engine-bench.ts', `${store}/${model}`, threads, '16', flags.tokens, '3'];

await withServer(server, async () => {
  const overHttp = async (temperature: number) => {
    const body = { model, prompt: 'The', max_tokens: tokens, temperature, ignore_eos: true };
    const start = performance.now();
    await complete(server.url, body);
    return (1000 * tokens) / (performance.now() - start);
  };
  await overHttp(0);
  const results: Record<'engine' | 'greedy' | 'sampled', number[]> = {
    engine: [],
    greedy: [],
    sampled: [],
  };
  for (let round = 0; round < Number(flags.rounds); round++) {
    results.engine.push(JSON.parse(await run(process.execPath, bench)).decode);
    results.greedy.push(await overHttp(0));
    results.sampled.push(await overHttp(1));
  }
  const ratio = (name: 'greedy' | 'sampled') =>
    median(results[name].map((speed, round) => speed / results.engine[round]!)).toFixed(3);
  process.stdout.write(
    `engine ${median(results.engine).toFixed(1)} tokens/s; over HTTP greedy ${median(results.greedy).toFixed(1)} ` +
      `(${ratio('greedy')}x), sampled ${median(results.sampled).toFixed(1)} (${ratio('sampled')}x)\n`,
  );
});
