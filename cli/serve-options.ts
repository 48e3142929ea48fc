import { type Command, InvalidArgumentError } from 'commander';
import { UsageError } from '../artifact/errors.ts';
import { parseBytes } from './bytes.ts';
import { parseCount, parseInteger } from './parse.ts';

/** Options of every command that runs a folded model. */
export interface EngineFlags {
  threads?: number;
  spinning: boolean;
  cache?: string;
  cacheSize?: number;
}

/** Options of every command that serves one. */
export interface ListenFlags extends EngineFlags {
  host: string;
  port: number;
  slots: number;
  prefixCache?: number;
  context?: number;
}

export function addEngineOptions(command: Command): Command {
  return command
    .option('--threads <count>', 'threads of the model (default: the cores there are)', parseCount)
    .option('--no-spinning', 'let idle threads sleep: slower, but leaves the cores to others')
    .option('--cache <folder>', 'where blobs are kept (default: $FOLDGATE_CACHE, else ~/.cache/foldgate)')
    .option(
      '--cache-size <bytes>',
      'of those kept, remove the least recently used beyond this: 500MB, 10GB (default: no limit)',
      parseBytes,
    );
}

/** All but the port, whose default differs. */
export function addListenOptions(command: Command): Command {
  const listening = command
    .option(
      '--host <address>',
      'address to listen on; 0.0.0.0 to be reached from other machines',
      '127.0.0.1',
    )
    .option('--slots <count>', 'sequences that run at once; others wait', parseCount, 8)
    .option(
      '--prefix-cache <bytes>',
      'memory for prompts read before, for those that begin alike; 0 for none (default: 256MB)',
      parseBytes,
    )
    .option('--context <tokens>', "prompt and completion together (default: the model's own)", parseCount);
  return addEngineOptions(listening);
}

/** What the engine takes of the flags, and where blobs are kept. */
export function engineOptions({ threads, spinning, cache, cacheSize }: EngineFlags) {
  return { ...(threads && { threads }), spinning, cacheFolder: cache, cacheBytes: cacheSize };
}

export function parsePort(text: string): number {
  const value = parseInteger(text);
  if (value < 0 || value > 65_535) throw new InvalidArgumentError('A port from 0 to 65535 is expected.');
  return value;
}

/** The port that hosts of containers hand over in $PORT, else the usual one. @throws UsageError */
export function portFromEnvironment(text = process.env.PORT): number {
  if (!text) return 8080;
  try {
    return parsePort(text);
  } catch (cause) {
    throw new UsageError(`$PORT is ${JSON.stringify(text)}.`, { cause });
  }
}
