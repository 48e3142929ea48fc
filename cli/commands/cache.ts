import { Command } from 'commander';
import { parseBytes } from '../bytes.ts';
import { formatBytes } from '../progress.ts';

interface Flags {
  cache?: string;
  size?: number;
  json?: boolean;
}

export function cacheCommand(): Command {
  return new Command('cache')
    .summary('tell what the local cache takes, or shrink it')
    .description(
      'Tells how much the blobs take that serving fetched from stores. With --size, removes the least recently ' +
        'used beyond it; what a running process works with stays. All of it can be fetched again.',
    )
    .option('--cache <folder>', 'where they are kept (default: $FOLDGATE_CACHE, else ~/.cache/foldgate)')
    .option('--size <bytes>', 'what they may take: 500MB, 10GB, or 0 to empty the cache', parseBytes)
    .option('--json', 'print the result as JSON')
    .addHelpText('after', '\nExamples:\n  foldgate cache\n  foldgate cache --size 10GB')
    .action(cache);
}

async function cache(flags: Flags): Promise<void> {
  const { defaultCacheFolder } = await import('../../artifact/cache.ts');
  const { shrinkCache } = await import('../../artifact/cache-limit.ts');
  const folder = flags.cache ?? defaultCacheFolder();
  const { removed, left } = await shrinkCache(folder, flags.size ?? Infinity);
  if (flags.json) {
    process.stdout.write(`${JSON.stringify({ folder, removed, ...left }, undefined, 2)}\n`);
    return;
  }
  if (flags.size !== undefined)
    process.stderr.write(`Removed ${removed.blobs} blobs (${formatBytes(removed.bytes)}).\n`);
  process.stdout.write(`${folder}: ${left.blobs} blobs, ${formatBytes(left.bytes)}\n`);
}
