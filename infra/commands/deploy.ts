/**
 * Deploys a model to AWS: npm run deploy -- --context model=./models/tales [--context KEY=VALUE ...] [CDK's options]
 * Without a model it makes the bucket alone, for models that are folded right into it.
 */
import { join } from 'node:path';
import { openStore } from '../../artifact/store/open.ts';
import { modelsStackName, servingStackName } from '../aws/names.ts';
import { ownPrefix, servedModel } from '../aws/settings.ts';
import { contextOf, exitCodeOf, run, runCdk } from '../deploy/cdk.ts';
import { makeFirstKey } from '../deploy/first-key.ts';
import { keepOutputs, outputOf } from '../deploy/outputs.ts';

const foldgate = join(import.meta.dirname, '../../bin/foldgate.js');
const args = process.argv.slice(2);

process.exitCode = await exitCodeOf(deploy);

async function deploy(): Promise<void> {
  const model = contextOf(args, 'model');
  if (model === undefined) return tellBucket(await deployBucket());
  const { name, bucket, prefix } = servedModel(model);
  let store = `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`;
  if (bucket === undefined) {
    store = `s3://${await deployBucket()}/${ownPrefix}`;
    // Before the function: one that is kept warm loads its model while it is deployed.
    await run(process.execPath, [foldgate, 'copy', model, `${store}/${name}`], {
      cwd: process.env.INIT_CWD ?? process.cwd(),
    });
  }
  const hasKeys = (contextOf(args, 'access') ?? 'keys') === 'keys';
  const key = hasKeys ? await makeFirstKey(await openStore(store)) : undefined;
  const stack = servingStackName(name);
  await runCdk(['deploy', stack, '--exclusively', ...(await keepOutputs(stack)), ...args]);
  process.stdout.write(`\n${name} is at ${await outputOf(stack, 'BaseUrl')}\n`);
  if (key) process.stdout.write(`Its first API key, shown this once: ${key}\n`);
  process.stdout.write(`Prove it: npm run deploy:check -- --model ${name} --key KEY\n`);
}

/** @returns the bucket's name */
async function deployBucket(): Promise<string> {
  await runCdk(['deploy', modelsStackName, ...(await keepOutputs(modelsStackName)), ...args]);
  return await outputOf(modelsStackName, 'BucketName');
}

function tellBucket(bucket: string): void {
  process.stdout.write(`
The bucket is there. Fold into it, then deploy what you folded:
  foldgate fold CHECKPOINT --remove 0.2 --out s3://${bucket}/${ownPrefix}/NAME
  npm run deploy -- --context model=s3://${bucket}/${ownPrefix}/NAME
`);
}
