import { Command } from 'commander';
import { calibrationTexts } from '../calibration-texts.ts';
import { addFoldOptions, type FoldFlags, rankingHelp } from '../fold-options.ts';
import { planOf } from '../plan-of.ts';
import { progress } from '../progress.ts';
import { interruptSignal } from '../signal.ts';

export function planCommand(): Command {
  return addFoldOptions(new Command('plan'))
    .description('rank the layers of a checkpoint and print what a fold would do, without doing it')
    .argument('<checkpoint>', 'Hugging Face folder or GGUF file')
    .option('--json', 'print the plan as JSON, for `fold --plan`')
    .addHelpText(
      'after',
      `${rankingHelp()}
Without --remove, it also prints which layers would go first, and what that would save.

Examples:
  foldgate plan model.gguf
  foldgate plan ./SmolLM2-135M-Instruct --remove 0.2 --share 2
  foldgate plan model.gguf --remove 0.2 --json > plan.json`,
    )
    .action(async (path: string, flags: FoldFlags & { json?: boolean }) => {
      const { openCheckpoint } = await import('../../compressor/checkpoint/open.ts');
      const checkpoint = await openCheckpoint(path);
      const show = progress();
      try {
        const { text } = await calibrationTexts(checkpoint, flags);
        const plan = await planOf(checkpoint, flags, text, show, interruptSignal(), { rank: true });
        if (flags.json) {
          process.stdout.write(`${JSON.stringify(plan, undefined, 2)}\n`);
        } else {
          const { planTable } = await import('../plan-table.ts');
          const { removalTable } = await import('../removal-table.ts');
          process.stdout.write(`${planTable(checkpoint, plan)}\n`);
          if (flags.remove === 0) process.stdout.write(`\n${removalTable(checkpoint, plan, flags)}\n`);
        }
      } finally {
        show.finish();
        await checkpoint.close();
      }
    });
}
