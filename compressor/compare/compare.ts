import { join } from 'node:path';
import { UsageError } from '../../artifact/errors.ts';
import { withFileLock } from '../../artifact/file-lock.ts';
import { methods } from '../methods/index.ts';
import { checkBudget } from './method-plan.ts';
import type { CompareOptions } from './options.ts';
import { type Comparison, quantize } from './row.ts';
import { Run } from './run.ts';

/**
 * Folds a checkpoint by several methods to the same sizes, cures all alike and measures all alike, beside
 * the original, the original trained on the same tokens, and the original at fewer bits. What is finished
 * is kept in the folder, so that an interrupted comparison goes on.
 * @throws UsageError for methods or budgets that make no sense
 */
export async function compare(options: CompareOptions): Promise<{ comparison: Comparison; folder: string }> {
  refuseNonsense(options);
  const { signal, onNotice } = options;
  const run = await Run.open(options);
  const { folder } = run;
  const onWait = () => onNotice?.('Another process is at the same comparison. Waiting until it is done.');
  return withFileLock(
    join(folder, 'lock'),
    async () => ({ comparison: await run.run(), folder }),
    signal,
    onWait,
  );
}

function refuseNonsense({ checkpoint, methods: names, budgets }: CompareOptions): void {
  const known = [...Object.keys(methods), quantize];
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined)
    throw new UsageError(`There is no method "${unknown}". There are: ${known.join(', ')}.`);
  if (budgets.length === 0) throw new UsageError('No budget is named: how much is to be saved?');
  if (!names.some((name) => name !== quantize))
    throw new UsageError('Name a method that folds: "quantize" is measured against the bytes of others.');
  for (const budget of budgets)
    for (const name of names) if (name !== quantize) checkBudget(checkpoint, methods[name]!, budget);
}
