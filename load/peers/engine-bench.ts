import { Decoder } from '../../artifact/decoder/decoder.ts';
import { type CacheType, decoderOptions } from '../../artifact/decoder/decoder-options.ts';
import type { PromptWeights } from '../../artifact/decoder/prompt-weights.ts';
import { openLocalModel } from '../../artifact/models/open-local.ts';
import { useHugePages } from '../../artifact/onnxruntime/huge-pages.ts';
import { library } from '../../artifact/onnxruntime/library.ts';

/**
 * Times one folded model as llama-bench times a GGUF file: a prompt from an empty cache, then single
 * tokens on an empty cache. Prints {"prefill": tokens/s, "decode": tokens/s}, the medians of the rounds.
 *
 * Usage: node engine-bench.ts URL THREADS PROMPT_TOKENS DECODED_TOKENS ROUNDS [KV_CACHE [PROMPT_WEIGHTS]]
 */
const [url, threads, promptTokens, decodedTokens, rounds, kvCache, prompts] = process.argv.slice(2);
const promptWeights = prompts as PromptWeights | undefined;
const { manifest, graphPath } = await openLocalModel(url!, { promptWeights });
const prompt = Number(promptTokens);
const decoded = Number(decodedTokens);
const options = decoderOptions(manifest, graphPath, Math.max(prompt, decoded), kvCache as CacheType);
library({ threads: Number(threads) });
const decoder = new Decoder({ ...options, sharedThreads: true }); // as the server does
await useHugePages(); // as the server does, before it has a cache
const cache = decoder.newCache();
// Token ids spread over the vocabulary, as llama-bench draws them at random.
const token = (i: number) => (i * 7919 + 11) % manifest.dimensions.vocabularySize;
const ids = Array.from({ length: prompt }, (_, i) => token(i));

const seconds = (work: () => void) => {
  const start = performance.now();
  work();
  return (performance.now() - start) / 1000;
};
const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;
const prefill: number[] = [];
const decode: number[] = [];
for (let round = -1; round < Number(rounds); round++) {
  cache.length = 0;
  const prefillTime = seconds(() => decoder.prompt(cache, ids));
  cache.length = 0;
  const decodeTime = seconds(() => {
    for (let i = 0; i < decoded; i++) decoder.run(cache, [token(i)]);
  });
  if (round < 0) continue; // warm-up
  prefill.push(prompt / prefillTime);
  decode.push(decoded / decodeTime);
}
process.stdout.write(`${JSON.stringify({ prefill: median(prefill), decode: median(decode) })}\n`);
