import { Command, Option } from 'commander';
import { parseDuration } from '../duration.ts';
import { formatBytes } from '../progress.ts';
import { interruptSignal } from '../signal.ts';

export function gcCommand(): Command {
  return new Command('gc')
    .summary('delete what no model in a store needs')
    .description(
      'Deletes blobs that no model names, prefixes of versions that are gone, and uploads that nobody finished. It may run while models are ' +
        'published, as long as --older-than is longer than a publication takes.',
    )
    .argument('<store>', 'file:FOLDER, a plain path, or s3://BUCKET/PREFIX')
    .addOption(
      new Option('--older-than <duration>', 'only what has not changed for so long: 90s, 30m, 24h, 7d')
        .argParser(parseDuration)
        .default(parseDuration('24h'), '24h'),
    )
    .option('--superseded', 'also versions that their name no longer points to', false)
    .option('--dry-run', 'only show what would be deleted', false)
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  foldgate gc ./models --dry-run\n  foldgate gc s3://bucket --older-than 7d --superseded',
    )
    .action(gc);
}

interface GcOptions {
  olderThan: number;
  superseded: boolean;
  dryRun: boolean;
  json?: boolean;
}

async function gc(url: string, { olderThan, superseded, dryRun, json }: GcOptions): Promise<void> {
  const { openStore } = await import('../../artifact/store/open.ts');
  const { collectGarbage } = await import('../../artifact/models/garbage.ts');
  const store = await openStore(url);
  const options = { olderThanMs: olderThan, superseded, dryRun, signal: interruptSignal() };
  const { manifests, prefixes, blobs, uploads } = await collectGarbage(store, options);
  const bytes = blobs.reduce((sum, blob) => sum + blob.bytes, 0);
  if (json) {
    const keys = (objects: { key: string }[]) => objects.map(({ key }) => key);
    const result = {
      dryRun,
      manifests: keys(manifests),
      prefixes: keys(prefixes),
      blobs: keys(blobs),
      bytes,
      uploads,
    };
    process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    return;
  }
  for (const { key } of [...manifests, ...prefixes, ...blobs]) process.stdout.write(`${key}\n`);
  process.stderr.write(
    `${dryRun ? 'Would delete' : 'Deleted'} ${blobs.length} blobs (${formatBytes(bytes)}), ` +
      `${manifests.length} superseded versions, ${prefixes.length} prefixes of versions that are gone and ` +
      `${uploads} unfinished uploads in ${store.url}.\n`,
  );
}
