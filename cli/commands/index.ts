import type { Command } from 'commander';
import { cacheCommand } from './cache.ts';
import { compareCommand } from './compare.ts';
import { copyCommand } from './copy.ts';
import { evalCommand } from './eval.ts';
import { foldCommand } from './fold.ts';
import { gcCommand } from './gc.ts';
import { inspectCommand } from './inspect.ts';
import { keysCommand } from './keys.ts';
import { listCommand } from './list.ts';
import { planCommand } from './plan.ts';
import { pullCommand } from './pull.ts';
import { removeCommand } from './remove.ts';
import { reportCommand } from './report.ts';
import { runCommand } from './run.ts';
import { serveCommand } from './serve.ts';
import { startCommand } from './start.ts';
import { verifyCommand } from './verify.ts';

/** Every subcommand, in the order of `--help`: make, store, serve. */
export function commands(): Command[] {
  return [
    startCommand(),
    pullCommand(),
    planCommand(),
    foldCommand(),
    evalCommand(),
    compareCommand(),
    reportCommand(),
    listCommand(),
    inspectCommand(),
    verifyCommand(),
    copyCommand(),
    removeCommand(),
    gcCommand(),
    cacheCommand(),
    serveCommand(),
    keysCommand(),
    runCommand(),
  ];
}
