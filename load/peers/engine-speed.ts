import { join } from 'node:path';
import type { Contender } from './contenders.ts';
import { run } from './process.ts';

/** Tokens a second of the engine alone. */
export interface EngineSpeed {
  prefill: number;
  decode: number;
}

export interface EngineTest {
  programs: string;
  threads: string;
  promptTokens: string;
  decodedTokens: string;
}

/** By llama-bench, or by the decoder alone as llama-bench does it. */
export async function engineSpeed(
  { engine, model, kvCache = 'float32', promptWeights = 'same' }: Contender,
  test: EngineTest,
): Promise<EngineSpeed> {
  const { programs, threads, promptTokens, decodedTokens } = test;
  if (engine === 'foldgate') {
    const form = [kvCache, promptWeights];
    const bench = ['load/peers/engine-bench.ts', model, threads, promptTokens, decodedTokens, '3', ...form];
    return JSON.parse(await run(process.execPath, bench));
  }
  const args = ['-m', model, '-t', threads, '-p', promptTokens, '-n', decodedTokens, '-r', '3', '-o', 'json'];
  const tests = JSON.parse(await run(join(programs, 'llama-bench'), args)) as LlamaBench[];
  return {
    prefill: tests.find(({ n_prompt }) => n_prompt > 0)!.avg_ts,
    decode: tests.find(({ n_prompt }) => n_prompt === 0)!.avg_ts,
  };
}

interface LlamaBench {
  n_prompt: number;
  avg_ts: number;
}
