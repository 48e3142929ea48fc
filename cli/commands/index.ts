import type { Command } from 'commander';

/** Every subcommand, in the order of `--help`: make, store, serve. */
export function commands(): Command[] {
  return [];
}
