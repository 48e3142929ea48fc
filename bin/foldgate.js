#!/usr/bin/env node
// Plain JavaScript without new syntax: old Nodes must get far enough to fetch a newer one.
import { existsSync } from 'node:fs';
import module from 'node:module';
import { handedOver } from './modern-node.js';

if (!(await handedOver())) {
  // What was compiled once is kept in the system's temporary folder: a third less until the first line of work.
  module.enableCompileCache?.();
  // A checkout runs its sources. The published package has the build alone: Node strips no types inside
  // node_modules.
  const sources = new URL('../cli/main.ts', import.meta.url);
  const entry = existsSync(sources) ? sources : new URL('../dist/cli/main.js', import.meta.url);
  const { main } = await import(entry.href);
  process.exitCode = await main(process.argv.slice(2));
}
