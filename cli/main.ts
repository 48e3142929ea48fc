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
  for (const command of commands()) program.addCommand(command.exitOverride());
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
  const expected = error instanceof FoldgateError;
  process.stderr.write(`foldgate: ${expected ? describe(error) : ((error as Error)?.stack ?? error)}\n`);
  return error instanceof UsageError ? 2 : 1;
}

function describe(error: Error): string {
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
  return error.message + cause;
}
