/**
 * Takes down what serves a model: npm run destroy -- --context model=... [CDK's options]
 * The bucket and all models in it stay, unless `--delete-models YES` is there too.
 */
import { UsageError } from '../../artifact/errors.ts';
import { modelsStackName, servingStackName } from '../aws/names.ts';
import { servedModel } from '../aws/settings.ts';
import { contextOf, exitCodeOf, runCdk } from '../deploy/cdk.ts';
import { outputOf } from '../deploy/outputs.ts';

process.exitCode = await exitCodeOf(destroy);

async function destroy(): Promise<void> {
  const args = process.argv.slice(2);
  const at = args.indexOf('--delete-models');
  const wish = at < 0 ? undefined : args.splice(at, 2)[1];
  if (at >= 0 && wish !== 'YES')
    throw new UsageError('--delete-models deletes every model for good: write --delete-models YES.');
  const model = contextOf(args, 'model');
  if (model === undefined) throw new UsageError('Which model? --context model=..., as it was deployed.');
  await runCdk(['destroy', servingStackName(servedModel(model).name), '--exclusively', ...args]);
  if (wish === undefined) {
    process.stdout.write('The models are still in their bucket (--delete-models YES deletes them too).\n');
    return;
  }
  const bucket = await outputOf(modelsStackName, 'BucketName');
  const { deleteBucket } = await import('../deploy/empty-bucket.ts');
  await runCdk(['destroy', modelsStackName, '--exclusively', ...args]);
  const count = await deleteBucket(bucket);
  process.stdout.write(`${bucket} is deleted, with ${count} versions of objects.\n`);
}
