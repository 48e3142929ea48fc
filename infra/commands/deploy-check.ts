/** Proves a deployment from outside: npm run deploy:check -- --model NAME --key KEY [--url URL/v1] [--timeout SECONDS] */
import { parseArgs } from 'node:util';
import { FoldgateError, UsageError } from '../../artifact/errors.ts';
import { servingStackName } from '../aws/names.ts';
import { exitCodeOf } from '../deploy/cdk.ts';
import { checkDeployment } from '../deploy/checks.ts';
import { outputOf } from '../deploy/outputs.ts';

process.exitCode = await exitCodeOf(check);

async function check(): Promise<void> {
  const { values } = parseArgs({
    options: {
      model: { type: 'string' },
      key: { type: 'string' },
      url: { type: 'string' },
      timeout: { type: 'string', default: '120' },
    },
  });
  const { model, key } = values;
  if (model === undefined) throw new UsageError('Which model? --model NAME');
  const baseUrl = values.url ?? (await outputOf(servingStackName(model), 'BaseUrl'));
  let failed = 0;
  for await (const { name, says, passed } of checkDeployment({
    baseUrl,
    model,
    key,
    timeoutMs: Number(values.timeout) * 1000,
  })) {
    process.stdout.write(`${passed ? 'ok  ' : 'FAIL'}  ${name}: ${says}\n`);
    if (!passed) failed++;
  }
  if (failed > 0) throw new FoldgateError(`${failed} checks failed.`);
}
