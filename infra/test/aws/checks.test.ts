import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Stack } from 'aws-cdk-lib';
import { Bucket } from 'aws-cdk-lib/aws-s3';
import { expect, it, onTestFinished } from 'vitest';
import { synthesise, synthesiseApp } from '../fixtures/synthesis.ts';
import { tool } from '../fixtures/tools.ts';

const run = promisify(execFile);

/** Together they make every resource there is. */
const variants = [
  {},
  { access: 'iam', provisioned: '1', maxConcurrency: '5', architecture: 'arm64' },
  { frontDoor: 'rest', alarmEmail: 'you@example.com' },
  { frontDoor: 'rest', access: 'iam' },
  { foldingImage: '123456789012.dkr.ecr.eu-central-1.amazonaws.com/foldgate:1' },
];

it('cdk-nag refuses what is careless', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'foldgate-cdk-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const careless = () =>
    synthesiseApp(folder, (app) => {
      new Bucket(new Stack(app, 'Careless'), 'Open');
    });
  expect(careless).toThrow(/AwsSolutions-S10/);
});

it.each(variants)('cdk-nag and cfn-lint have nothing against %j', async (context) => {
  const { files } = await synthesise(context);
  const configuration = join(import.meta.dirname, '../../cfnlint.yaml');
  const args = ['--config-file', configuration, '--format', 'parseable', ...files];
  const { stdout } = await run(tool('cfn-lint'), args).catch((error) => error);
  expect(stdout).toBe('');
});

it.each(variants)('the templates of %j are as they were', async (context) => {
  const { templates } = await synthesise(context);
  const name = Object.keys(context).join('-') || 'default';
  await expect(normalised(templates)).toMatchFileSnapshot(`snapshots/${name}.snap`);
});

/** Without what changes with the code: digests of assets, and of the version made from them. */
function normalised(templates: Awaited<ReturnType<typeof synthesise>>['templates']): string {
  const all = Object.fromEntries(
    Object.entries(templates).map(([name, template]) => [name, template.toJSON()]),
  );
  return `${JSON.stringify(all, null, 2)
    .replace(/\b[0-9a-f]{64}\b/g, 'ASSET')
    .replace(/(CurrentVersion[0-9A-F]{8})[0-9a-f]{32}/g, '$1VERSION')
    .replace(/(Deployment[0-9A-F]{8})[0-9a-f]{32}/g, '$1DEPLOYMENT')}\n`;
}
