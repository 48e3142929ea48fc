import { Command, CommanderError } from 'commander';
import { FoldgateError, UsageError } from '../artifact/errors.ts';
import packageJson from '../package.json' with { type: 'json' };

/**
 * The command line. Data goes to stdout, everything else to stderr.
 * @returns the exit code: 0 success, 1 a failed job, 2 wrong usage, 130 interrupted.
 */
export async function main(argv: string[]): Promise<number> {
  const program = new Command('foldgate')
    .description(packageJson.description)
    .version(packageJson.version)
    .showHelpAfterError('(add --help for the options)')
    .exitOverride();
  const { commands } = await import('./commands/index.ts');
  for (const command of await commands(argv[0])) program.addCommand(command.exitOverride());
  // A reader that has enough (`| head`) is no error; what is left to print goes nowhere.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }
  try {
    await program.parseAsync(argv, { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    return exitCodeOf(error);
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // commander has printed it
  if (error instanceof Error && error.name === 'AbortError') {
    process.stderr.write('\nInterrupted.\n');
    return 130;
  }
  process.stderr.write(`foldgate: ${describe(error)}\n`);
  return error instanceof UsageError ? 2 : 1;
}

/** What was foreseen in one line; what was not, with the place in the code. */
function describe(error: unknown): string {
  if (error instanceof FoldgateError) {
    const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
    return error.message + cause;
  }
  if (!(error instanceof Error)) return String(error);
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return error.stack ?? error.message;
  // The machine's fault, not the program's.
  return advice[code] === undefined ? error.message : `${error.message}. ${advice[code]}`;
}

/** By the system's error codes. */
const advice: Record<string, string> = {
  ENOSPC: 'The disk is full: free some space, or name another folder (--cache, $FOLDGATE_CACHE, --store).',
  EDQUOT:
    'Your quota is used up: free some space, or name another folder (--cache, $FOLDGATE_CACHE, --store).',
  EACCES: 'You may not do that there: check the permissions, or name another folder.',
  EPERM: 'You may not do that there: check the permissions, or name another folder.',
  EROFS: 'That file system can only be read: name another folder (--cache, $FOLDGATE_CACHE, --store).',
  ENOENT: 'It is not there: check the path.',
  ENOTDIR: 'A folder is expected where a file is: check the path.',
  EEXIST: 'A folder is expected where a file is: check the path.',
  EISDIR: 'A file is expected where a folder is: check the path.',
  EMFILE: 'Too many files are open: raise the limit (ulimit -n).',
  ENOMEM: 'There is not enough memory.',
  ECONNREFUSED: 'Nothing answers at that address: check it, and that the server runs.',
  ENOTFOUND: 'That host is unknown: check the name and the network.',
};
