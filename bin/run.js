#!/usr/bin/env node
// Runs a development tool of this checkout, or a script of its own, on a Node that is new enough:
//   node bin/run.js vitest run --project unit
//   node bin/run.js scripts/build.ts
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { handedOver } from './modern-node.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

if (!(await handedOver())) {
  const [name, ...args] = process.argv.slice(2);
  const file =
    name === undefined ? undefined : /\.[jt]s$/.test(name) ? resolve(root, name) : fileOfTool(name);
  if (file === undefined || !existsSync(file)) {
    const problem =
      name === undefined ? '' : `There is no tool or script ${name}; after "npm ci" there may be.\n`;
    process.stderr.write(
      `${problem}Usage: node bin/run.js <tool of the devDependencies | script.ts> [args]\n`,
    );
    process.exitCode = 2;
  } else {
    // In this process, as "node <file> <args>" would run it.
    process.argv = [process.execPath, file, ...args];
    await import(pathToFileURL(file).href);
  }
}

/** The file behind the command `name`, from the dependency that has it as its `bin`. */
function fileOfTool(name) {
  const { devDependencies } = readJson(join(root, 'package.json'));
  for (const dependency of Object.keys(devDependencies)) {
    const folder = join(root, 'node_modules', dependency);
    if (!existsSync(join(folder, 'package.json'))) continue;
    const { bin } = readJson(join(folder, 'package.json'));
    const commands = typeof bin === 'string' ? { [dependency.split('/').pop()]: bin } : (bin ?? {});
    if (commands[name] !== undefined) return join(folder, commands[name]);
  }
}

function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}
