import { readFile } from 'node:fs/promises';
import { Command } from 'commander';
import { NotFoundError, UsageError } from '../../artifact/errors.ts';
import { writeAtomically } from '../../artifact/store/atomic-file.ts';
import { hashKey, newKey } from '../../functions/gateway/access/api-keys.ts';
import { formatKeyFile, parseKeyFile, type StoredKey } from '../../functions/gateway/access/key-file.ts';
import { parseCount } from '../parse.ts';
import { formatTable } from '../table.ts';

const fileOption = ['--file <path>', 'the file that serve has as --api-keys', 'keys.json'] as const;

/** Read and written by its owner alone. */
const fileMode = 0o600;

export function keysCommand(): Command {
  const command = new Command('keys')
    .summary('make, list and remove the API keys of a server')
    .description(
      'Keeps the file of API keys that "foldgate serve --api-keys FILE" takes. The file holds digests, not the keys. ' +
        'Running servers see changes within seconds.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  foldgate keys add alice --requests-per-minute 60\n  foldgate keys remove alice',
    );
  command
    .command('add')
    .description('Makes a key and prints it: the only time it can be seen.')
    .argument('<name>', "whose it is; appears in the server's log")
    .option(...fileOption)
    .option('--requests-per-minute <count>', "instead of the server's limit", parseCount)
    .option(
      '--tokens-per-minute <count>',
      "instead of the server's limit, prompts and completions",
      parseCount,
    )
    .action(add);
  command
    .command('list')
    .description('Lists the names of the keys.')
    .option(...fileOption)
    .option('--json', 'print them as JSON, without their digests')
    .action(list);
  command
    .command('remove')
    .description('Removes a key.')
    .argument('<name>', 'whose it is')
    .option(...fileOption)
    .action(remove);
  for (const subcommand of command.commands) subcommand.exitOverride();
  return command;
}

interface Flags {
  file: string;
}

interface AddFlags extends Flags {
  requestsPerMinute?: number;
  tokensPerMinute?: number;
}

async function add(name: string, { file, ...limits }: AddFlags): Promise<void> {
  const keys = await read(file, []);
  if (keys.some((key) => key.name === name)) {
    throw new UsageError(`${file} has a key for ${name}. Remove it first, or choose another name.`);
  }
  const key = newKey();
  await write(file, [...keys, { name, hash: hashKey(key), created: new Date().toISOString(), ...limits }]);
  process.stderr.write(`Key of ${name}, to be seen only now:\n`);
  process.stdout.write(`${key}\n`);
}

async function list({ file, json }: Flags & { json?: boolean }): Promise<void> {
  const keys = (await read(file)).map(({ hash: _, ...key }) => key);
  if (json) {
    process.stdout.write(`${JSON.stringify(keys, undefined, 2)}\n`);
    return;
  }
  const rows = keys.map(({ name, created = '', requestsPerMinute = '', tokensPerMinute = '' }) => [
    name,
    created.slice(0, 16),
    requestsPerMinute,
    tokensPerMinute,
  ]);
  if (rows.length === 0) process.stderr.write(`There are no keys in ${file}.\n`);
  else process.stdout.write(`${formatTable(['NAME', 'MADE (UTC)', 'REQUESTS/MIN', 'TOKENS/MIN'], rows)}\n`);
}

async function remove(name: string, { file }: Flags): Promise<void> {
  const keys = await read(file);
  const others = keys.filter((key) => key.name !== name);
  if (others.length === keys.length) throw new NotFoundError(`There is no key of ${name} in ${file}.`);
  await write(file, others);
}

async function read(file: string, otherwise?: StoredKey[]): Promise<StoredKey[]> {
  try {
    return parseKeyFile(await readFile(file, 'utf8'), file);
  } catch (error) {
    if (otherwise && (error as NodeJS.ErrnoException).code === 'ENOENT') return otherwise;
    throw error;
  }
}

async function write(file: string, keys: StoredKey[]): Promise<void> {
  await writeAtomically(file, async (handle) => {
    await handle.chmod(fileMode);
    await handle.writeFile(formatKeyFile(keys));
  });
}
