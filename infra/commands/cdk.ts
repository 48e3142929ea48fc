/**
 * Runs the CDK of this folder, which has to be installed first:
 *   node infra/commands/cdk.ts synth --context model=./models/tales
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const infra = join(import.meta.dirname, '..');
const cdk = join(infra, 'node_modules/aws-cdk/bin/cdk');

if (existsSync(cdk)) {
  const { status } = spawnSync(process.execPath, [cdk, ...process.argv.slice(2)], {
    cwd: infra,
    stdio: 'inherit',
  });
  process.exitCode = status ?? 1;
} else {
  process.stderr.write('The packages of infra/ are not installed. Run: npm run infra:install\n');
  process.exitCode = 2;
}
