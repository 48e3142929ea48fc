/**
 * Makes dist/, the published form: Node strips no types inside node_modules. tsc writes the JavaScript
 * and the JSON files that modules import; what pages are made of besides is copied.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, globSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

// A file that went from the sources must go from the package.
rmSync(join(root, 'dist'), { recursive: true, force: true });
const tsc = spawnSync(process.execPath, ['bin/run.js', 'tsc', '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});
for (const file of globSync('functions/**/*.{html,css,svg}', { cwd: root }))
  cpSync(join(root, file), join(root, 'dist', file));
process.exitCode = tsc.status ?? 1;
