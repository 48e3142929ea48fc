import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { UsageError } from '../../artifact/errors.ts';
import type { Setting, Settings } from './setting.ts';

type Table = Readonly<Record<string, Setting>>;

/** Adds each setting's flag, and `--config`. Values stay text: they are checked together with the others. */
export function addSettings(command: Command, table: Table): Command {
  for (const [name, setting] of Object.entries(table)) {
    const { flag, help, isList } = setting;
    if (flag === undefined) continue;
    const option = new Option(flag, `${help}${defaultOf(setting)} [${variableOf(name)}]`);
    if (isList) option.argParser((value: string, others: string[] = []) => [...others, value]);
    command.addOption(option);
  }
  const others = Object.entries(table).filter(([, { flag }]) => flag === undefined);
  const lines = others.map(([name, { help }]) => `  ${variableOf(name)}  ${help}`);
  if (lines.length > 0)
    command.addHelpText('after', `\nFrom the environment or the file alone:\n${lines.join('\n')}`);
  return command.option(
    '--config <file>',
    'JSON with settings by their names here, as in {"slots": 8} [FOLDGATE_CONFIG]',
  );
}

/** What the command line says: commander gives `--no-spinning` a default, which would hide the other sources. */
export function givenFlags(command: Command): Record<string, unknown> {
  const isGiven = ([name]: [string, unknown]) => command.getOptionValueSource(name) === 'cli';
  return Object.fromEntries(Object.entries(command.opts()).filter(isGiven));
}

export interface Sources {
  /** What the command line says, by the settings' names, and its `config`. */
  flags: Readonly<Record<string, unknown>>;
  environment: Readonly<Record<string, string | undefined>>;
}

/**
 * Every setting, from its flag, else from the environment, else from the file, else its default.
 * @throws UsageError that tells all mistakes at once
 */
export async function readSettings<T extends Table>(
  table: T,
  { flags, environment }: Sources,
  check: (settings: Settings<T>) => string[] = () => [],
): Promise<Settings<T>> {
  const path = (flags.config ?? environment.FOLDGATE_CONFIG) as string | undefined;
  const file = path ? await readJson(path) : {};
  const mistakes = Object.keys(file)
    .filter((name) => !(name in table))
    .map(
      (name) =>
        `${path}: there is no setting ${JSON.stringify(name)}; there are ${Object.keys(table).join(', ')}`,
    );
  const settings: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(table)) {
    const { value = setting.default, where } = find(name, setting, flags, environment, file, path);
    const result = setting.schema.safeParse(value);
    if (result.success) settings[name] = result.data;
    else if (value === undefined) mistakes.push(`${where} is missing: ${setting.help}`);
    else {
      const shown = setting.isSecret ? '' : ` is ${JSON.stringify(value)}`;
      const problems = new Set(result.error.issues.map(({ message }) => message));
      mistakes.push(`${where}${shown}: ${[...problems].join('; ')}`);
    }
  }
  if (mistakes.length === 0) mistakes.push(...check(settings as Settings<T>));
  if (mistakes.length > 0) throw new UsageError(`The settings are wrong:\n- ${mistakes.join('\n- ')}`);
  return settings as Settings<T>;
}

/** Where a setting is set, and to what. */
function find(
  name: string,
  { flag, variables = [] }: Setting,
  flags: Sources['flags'],
  environment: Sources['environment'],
  file: Readonly<Record<string, unknown>>,
  path: string | undefined,
): { value: unknown; where: string } {
  const long = flag?.match(/--[\w-]+/)?.[0];
  if (flags[name] !== undefined) return { value: flags[name], where: long! };
  for (const variable of [variableOf(name), ...variables]) {
    const value = environment[variable];
    if (value !== undefined && value !== '') return { value, where: variable };
  }
  if (file[name] !== undefined) return { value: file[name], where: `${path}: ${name}` };
  return { value: undefined, where: long ?? variableOf(name) };
}

/** `cacheSize`: FOLDGATE_CACHE_SIZE */
function variableOf(name: string): string {
  return `FOLDGATE_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

function defaultOf({ default: value }: Setting): string {
  return value === undefined || typeof value === 'boolean' ? '' : ` (default: ${value})`;
}

/** @throws UsageError */
async function readJson(path: string): Promise<Record<string, unknown>> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new UsageError(`The settings in ${path} cannot be read: ${(error as Error).message}`);
  }
  if (typeof json === 'object' && json !== null && !Array.isArray(json))
    return json as Record<string, unknown>;
  throw new UsageError(`${path} should be a JSON object of settings, such as {"slots": 8}.`);
}
