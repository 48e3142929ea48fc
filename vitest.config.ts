import { existsSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

// One project per kind of test. `npm test` runs those that need Node alone; the others say what they need.
const project = (name: string, options: object = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], ...options },
});

/** Whether a folder with an install of its own has it; says loudly what is left out otherwise. */
function isInstalled(folder: string): boolean {
  if (existsSync(new URL(`${folder}/node_modules`, import.meta.url))) return true;
  if (process.argv.includes(folder) || process.env.CI === 'true') return true; // its tests say what is missing
  if (process.argv.every((argument) => argument !== '--project'))
    console.warn(`SKIPPED: the tests of ${folder}/. Run: npm run ${folder}:install`);
  return false;
}

export default defineConfig({
  test: {
    // Two cores: native sessions bring threads of their own, so more workers only wait for each other.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    projects: [
      project('unit'),
      // onnxruntime-node is a native addon: child processes keep a crash from taking the runner along.
      project('native', { pool: 'forks' }),
      project('gateway', { pool: 'forks' }),
      // Needs a real S3 server: `npm run s3:install`.
      project('s3', { pool: 'forks' }),
      // What goes wrong outside: disks, stores, clients. One at a time, since they measure memory.
      project('faults', { pool: 'forks', maxWorkers: 1, testTimeout: 300_000 }),
      // Needs Redis or Valkey: `npm run redis:install`.
      project('redis', { pool: 'forks' }),
      // Needs the real models: `npm run models:fetch`.
      project('model', { pool: 'forks', maxWorkers: 1, testTimeout: 600_000, hookTimeout: 900_000 }),
      // Needs k6 (`load/k6.sh`) and a real model; compares times, so nothing else should run beside it.
      project('load', { pool: 'forks', maxWorkers: 1, testTimeout: 120_000, hookTimeout: 300_000 }),
      // Needs Chromium: `scripts/chromium.sh`.
      project('browser', { pool: 'forks', maxWorkers: 1 }),
      // Needs `npm run clients:install`.
      project('clients', { pool: 'forks' }),
      // Installs packages: old Node, npm pack.
      project('deploy', { pool: 'forks', maxWorkers: 1, testTimeout: 600_000 }),
      // Needs the packages of infra/: `npm run infra:install`.
      ...(isInstalled('infra')
        ? [project('infra', { pool: 'forks', testTimeout: 180_000, include: ['infra/test/**/*.test.ts'] })]
        : []),
    ],
  },
});
