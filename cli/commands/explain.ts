import { Command } from 'commander';
import { UsageError } from '../../artifact/errors.ts';
import type { FoldPlan } from '../../compressor/plan/plan.ts';

export function explainCommand(): Command {
  return new Command('explain')
    .summary('say why each layer was kept, shared or removed')
    .description(
      'Says in words and a picture why each layer was kept, shared or removed, and what stands in for it.',
    )
    .argument('<plan>', 'plan as `foldgate plan --json` prints it, or URL of a folded model')
    .option('--checkpoint <path>', 'the checkpoint it is for: tells what the plan saves, too')
    .option('--json', 'print the reasons as JSON, a layer each')
    .addHelpText(
      'after',
      '\nExamples:\n  foldgate explain plan.json --checkpoint model.gguf\n  foldgate explain file:./models/tales',
    )
    .action(explain);
}

async function explain(path: string, flags: { checkpoint?: string; json?: boolean }): Promise<void> {
  const plan = await planAt(path);
  if (flags.json) {
    const { explainPlan } = await import('../../compressor/plan/explain.ts');
    process.stdout.write(`${JSON.stringify(explainPlan(plan), undefined, 2)}\n`);
    return;
  }
  const { explanation } = await import('../explanation.ts');
  process.stdout.write(`${explanation(plan)}\n`);
  if (flags.checkpoint !== undefined)
    process.stdout.write(`\n${await savings(plan, path, flags.checkpoint)}\n`);
}

/** The plan of a file, or the one a published model was folded by. */
async function planAt(path: string): Promise<FoldPlan> {
  const { stat } = await import('node:fs/promises');
  const { checkPlan, readPlan } = await import('../../compressor/plan/plan.ts');
  if ((await stat(path).catch(() => undefined))?.isFile()) return readPlan(path, undefined);
  const { openModelUrl } = await import('../../artifact/store/open.ts');
  const { inspect } = await import('../../artifact/models/inspect.ts');
  const { store, name } = await openModelUrl(path);
  const { plan } = (await inspect(store, name)).folding.options;
  if (plan === undefined) throw new UsageError(`${path} was published without the plan it was folded by.`);
  return checkPlan(plan, undefined, path);
}

async function savings(plan: FoldPlan, where: string, path: string): Promise<string> {
  const { openCheckpoint } = await import('../../compressor/checkpoint/open.ts');
  const { checkPlan } = await import('../../compressor/plan/plan.ts');
  const { planSummary } = await import('../plan-table.ts');
  const checkpoint = await openCheckpoint(path);
  try {
    const { name, architecture } = checkpoint;
    const { layers, intermediateSize } = architecture;
    checkPlan(plan, { name, layers: layers.length, intermediateSize }, where);
    return planSummary(checkpoint, plan);
  } finally {
    await checkpoint.close();
  }
}
