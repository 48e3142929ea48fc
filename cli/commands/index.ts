import type { Command } from 'commander';

/** Every subcommand, in the order of `--help`: make, store, serve. */
const all: Record<string, () => Promise<Command>> = {
  start: async () => (await import('./start.ts')).startCommand(),
  pull: async () => (await import('./pull.ts')).pullCommand(),
  train: async () => (await import('./train.ts')).trainCommand(),
  plan: async () => (await import('./plan.ts')).planCommand(),
  explain: async () => (await import('./explain.ts')).explainCommand(),
  fold: async () => (await import('./fold.ts')).foldCommand(),
  eval: async () => (await import('./eval.ts')).evalCommand(),
  compare: async () => (await import('./compare.ts')).compareCommand(),
  report: async () => (await import('./report.ts')).reportCommand(),
  list: async () => (await import('./list.ts')).listCommand(),
  inspect: async () => (await import('./inspect.ts')).inspectCommand(),
  verify: async () => (await import('./verify.ts')).verifyCommand(),
  copy: async () => (await import('./copy.ts')).copyCommand(),
  remove: async () => (await import('./remove.ts')).removeCommand(),
  gc: async () => (await import('./gc.ts')).gcCommand(),
  prefixes: async () => (await import('./prefixes.ts')).prefixesCommand(),
  cache: async () => (await import('./cache.ts')).cacheCommand(),
  serve: async () => (await import('./serve.ts')).serveCommand(),
  keys: async () => (await import('./keys.ts')).keysCommand(),
  run: async () => (await import('./run.ts')).runCommand(),
};

/**
 * The subcommand of that name alone, or all where it is none: reading them all takes a tenth of a second, which
 * a server that has to start at once can do without.
 */
export async function commands(name: string | undefined): Promise<Command[]> {
  const asked = name !== undefined && Object.hasOwn(all, name) ? [all[name]!] : Object.values(all);
  return await Promise.all(asked.map((load) => load()));
}
