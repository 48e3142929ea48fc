import { Command, Option } from 'commander';
import { type CacheType, cacheTypes } from '../../artifact/decoder/decoder-options.ts';
import { type PromptWeights, promptWeightChoices } from '../../artifact/decoder/prompt-weights.ts';
import { graphsOf } from '../../artifact/manifest.ts';
import { parseCount } from '../parse.ts';
import { formatBytes, progress } from '../progress.ts';
import { interruptSignal } from '../signal.ts';
import { formatTable } from '../table.ts';

const modelArgument = [
  '<model>',
  'STORE/NAME: file:./models/NAME, ./models/NAME or s3://BUCKET/PREFIX/NAME',
] as const;

export function prefixesCommand(): Command {
  const command = new Command('prefixes')
    .summary('compute prompts once and for all, and keep them in the store')
    .description(
      'Keeps the keys and values of prompts that many requests begin with, system prompts above all, beside their ' +
        'model. Servers fetch them where that is quicker than to compute them, also right after a cold start. They ' +
        'belong to a version of the model and serve all who use it.',
    )
    .addHelpText(
      'after',
      `
Examples:
  foldgate prefixes add s3://bucket/smol --chat system.json --name assistant
  foldgate prefixes list s3://bucket/smol
  foldgate prefixes remove s3://bucket/smol assistant && foldgate gc s3://bucket`,
    );
  command
    .command('add')
    .description('Computes a prefix with the stored model and publishes it; prints its name.')
    .argument(...modelArgument)
    .option('--text <file>', 'the text that completions begin with')
    .option(
      '--chat <file>',
      'JSON: the messages that chats begin with, or {"messages": [...], "tools": [...]}',
    )
    .option('--name <name>', "what it is called (default: the beginning of its tokens' sha256)")
    .addOption(
      new Option('--kv-cache <type>', "what servers keep keys and values in: serve's own option of that name")
        .choices([...cacheTypes])
        .default('float32'),
    )
    .addOption(
      new Option('--prompt-weights <what>', "what servers read prompts with: serve's own option of that name")
        .choices([...promptWeightChoices])
        .default('auto'),
    )
    .option('--threads <count>', 'threads of the model (default: the cores there are)', parseCount)
    .action(add);
  command
    .command('list')
    .description("Lists the prefixes of the model's current version.")
    .argument(...modelArgument)
    .option('--json', 'print them as JSON')
    .action(list);
  command
    .command('remove')
    .description(
      'Removes a prefix. Its keys and values stay until "foldgate gc" finds that nothing needs them.',
    )
    .argument(...modelArgument)
    .argument('<name>', 'which one')
    .action(remove);
  for (const subcommand of command.commands) subcommand.exitOverride();
  return command;
}

interface AddFlags {
  text?: string;
  chat?: string;
  name?: string;
  threads?: number;
  kvCache: CacheType;
  promptWeights: PromptWeights;
}

async function add(url: string, flags: AddFlags): Promise<void> {
  const { addPrefix } = await import('../add-prefix.ts');
  const show = progress();
  const added = await addPrefix(url, {
    ...flags,
    signal: interruptSignal(),
    onProgress: (done, total) => show.update('Computing the prefix', done, total),
  }).finally(show.finish);
  const { tokens, bytes, computeMs } = added;
  process.stdout.write(`${added.name}\n`);
  process.stderr.write(
    `${tokens} tokens, ${formatBytes(bytes)}, computed in ${computeMs.toFixed(0)} ms. Servers fetch it where they read ` +
      `more than ${formatBytes((1000 * bytes) / computeMs)} a second.\n`,
  );
}

async function list(url: string, { json }: { json?: boolean }): Promise<void> {
  const { openModelUrl } = await import('../../artifact/store/open.ts');
  const { readManifest } = await import('../../artifact/models/read.ts');
  const { readPrefixes } = await import('../../artifact/prefixes/read.ts');
  const { store, name: model } = await openModelUrl(url);
  const { manifest } = await readManifest(store, model);
  const found = await readPrefixes(store, model, graphsOf(manifest));
  if (json) {
    const entries = found.map(({ name, tokens, cache, blob, computeMs, createdAt }) => {
      return { name, tokens: tokens.length, elementType: cache.elementType, ...blob, computeMs, createdAt };
    });
    process.stdout.write(`${JSON.stringify(entries, undefined, 2)}\n`);
    return;
  }
  if (found.length === 0) {
    process.stderr.write(`The current version of ${model} has no prefixes.\n`);
    return;
  }
  const rows = found.map(({ name, tokens, cache, blob, computeMs, createdAt }) => [
    name,
    tokens.length,
    cache.elementType,
    formatBytes(blob.bytes),
    Math.round(computeMs),
    createdAt.slice(0, 16),
  ]);
  process.stdout.write(`${formatTable(['NAME', 'TOKENS', 'TYPE', 'SIZE', 'MS', 'CREATED (UTC)'], rows)}\n`);
}

async function remove(url: string, name: string): Promise<void> {
  const { openModelUrl } = await import('../../artifact/store/open.ts');
  const { readManifest } = await import('../../artifact/models/read.ts');
  const { removePrefix } = await import('../../artifact/prefixes/publish.ts');
  const { store, name: model } = await openModelUrl(url);
  const { manifest } = await readManifest(store, model);
  await removePrefix(store, model, graphsOf(manifest), name);
  process.stderr.write(`Removed prefix ${name} of ${model} from ${store.url}.\n`);
}
