import type { Command } from 'commander';
import { copyCommand } from './copy.ts';
import { gcCommand } from './gc.ts';
import { inspectCommand } from './inspect.ts';
import { listCommand } from './list.ts';
import { removeCommand } from './remove.ts';
import { runCommand } from './run.ts';
import { serveCommand } from './serve.ts';
import { verifyCommand } from './verify.ts';

/** Every subcommand, in the order of `--help`: make, store, serve. */
export function commands(): Command[] {
  return [
    listCommand(),
    inspectCommand(),
    verifyCommand(),
    copyCommand(),
    removeCommand(),
    gcCommand(),
    runCommand(),
    serveCommand(),
  ];
}
