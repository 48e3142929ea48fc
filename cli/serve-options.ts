import { type Command, Option } from 'commander';
import { type CacheType, cacheTypes } from '../artifact/decoder/decoder-options.ts';
import { type PromptWeights, promptWeightChoices } from '../artifact/decoder/prompt-weights.ts';
import { parseBytes } from './bytes.ts';
import { parseCount } from './parse.ts';

/** Options of a command that runs a folded model. */
export interface EngineFlags {
  kvCache?: CacheType | undefined;
  promptWeights?: PromptWeights | undefined;
  threads?: number | undefined;
  spinning: boolean;
  speculation: boolean;
  cache?: string | undefined;
  cacheSize?: number | undefined;
}

export function addEngineOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--kv-cache <type>',
        'what keys and values are kept in (default: float32); int8 takes a quarter of the memory',
      ).choices([...cacheTypes]),
    )
    .addOption(
      new Option(
        '--prompt-weights <what>',
        'what prompts are read with: int8 weights of their own, which takes less time and more memory, the weights of the ' +
          'answers (same), or the former where the model was folded with them (default: auto)',
      ).choices([...promptWeightChoices]),
    )
    .option('--threads <count>', 'threads of the model (default: the cores there are)', parseCount)
    .option('--no-spinning', 'let idle threads sleep: slower, but leaves the cores to others')
    .option('--no-speculation', "do not guess a lone request's next tokens from its own text")
    .option('--cache <folder>', 'where blobs are kept (default: $FOLDGATE_CACHE, else ~/.cache/foldgate)')
    .option(
      '--cache-size <bytes>',
      'of those kept, remove the least recently used beyond this: 500MB, 10GB (default: no limit)',
      parseBytes,
    );
}

/** What the engine takes of the flags, and where blobs are kept. */
export function engineOptions(flags: EngineFlags) {
  const { kvCache, promptWeights, threads, spinning, speculation, cache, cacheSize } = flags;
  return {
    ...(kvCache && { kvCache }),
    ...(promptWeights && { promptWeights }),
    ...(threads && { threads }),
    spinning,
    speculation,
    cacheFolder: cache,
    cacheBytes: cacheSize,
  };
}
