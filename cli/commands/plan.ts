import { Command, Option } from 'commander';
import type { Checkpoint } from '../../compressor/checkpoint/checkpoint.ts';
import { calibrationTexts } from '../calibration-texts.ts';
import { addFoldOptions, type FoldFlags, rankingHelp } from '../fold-options.ts';
import { parseCounts, parseNumbers } from '../parse.ts';
import { planOf } from '../plan-of.ts';
import { type Progress, progress } from '../progress.ts';
import { interruptSignal } from '../signal.ts';
import { refuseWithoutSweep, type SweepFlags, sweepWith, writeSweepReport } from '../sweep-with.ts';

export function planCommand(): Command {
  return addFoldOptions(new Command('plan'))
    .description('rank the layers of a checkpoint and print what a fold would do, without doing it')
    .argument('<checkpoint>', 'Hugging Face folder or GGUF file')
    .option('--json', 'print the plan as JSON, for `fold --plan`; of a sweep, its numbers')
    .addOption(
      new Option(
        '--sweep',
        'a table of folds instead: how many layers are kept, how many neighbours of them share a block, how wide it is',
      ).conflicts(['remove', 'share', 'width', 'shrink', 'targetSize', 'fit']),
    )
    .option(
      '--sweep-kept <counts>',
      'layers to keep, separated by commas (default: all down to half)',
      parseCounts,
    )
    .option('--sweep-share <counts>', 'neighbours that share, likewise (default: 1,2,3)', parseCounts)
    .option(
      '--sweep-width <shares>',
      "mean shares of the MLPs' width to keep, likewise (default: 1)",
      parseNumbers,
    )
    .option('--measure', 'carry out each fold of a sweep: its perplexity, and its time a token')
    .option('--report <file>', 'write charts of a sweep as one HTML file')
    .addHelpText(
      'after',
      `${rankingHelp()}
Without --remove, it also prints which layers would go first, and what that would save.

A sweep has parameters, bytes stored and in memory, and multiply-adds a token, known at once from the sizes. With
--measure each fold is ranked, written to the cache folder, timed there and removed again; its perplexity is that
of float32 on the calibration text, untrained. Patches and narrower MLPs, where there are any, are fitted on the same text.
Which MLPs become how narrow follows the ranking; without --measure all are taken to be alike.

JSON of a sweep: {checkpoint, checkpointLayers, quantize, context, points}, and measured: {rank, text, tokens} where
it was; a point is {kept, share, width, blocks, layers, parameters, stored, served, multiplyAdds}, with measured:
{perplexity, time in ms} and plan.

Examples:
  foldgate plan model.gguf
  foldgate plan ./SmolLM2-135M-Instruct --remove 0.2 --share 2
  foldgate plan model.gguf --remove 0.2 --json > plan.json
  foldgate plan model.gguf --sweep --quantize int8
  foldgate plan model.gguf --sweep --sweep-share 1,2 --sweep-width 1,0.75,0.5
  foldgate plan model.gguf --sweep --sweep-kept 30,24,18 --sweep-share 1,2 --measure --report sweep.html`,
    )
    .action(async (path: string, flags: Flags) => {
      refuseWithoutSweep(flags);
      const { openCheckpoint } = await import('../../compressor/checkpoint/open.ts');
      const checkpoint = await openCheckpoint(path);
      const show = progress();
      try {
        const made = flags.sweep
          ? await printedSweep(checkpoint, flags, show)
          : await printedPlan(checkpoint, flags, show);
        process.stdout.write(`${made}\n`);
      } finally {
        show.finish();
        await checkpoint.close();
      }
    });
}

type Flags = FoldFlags & SweepFlags & { json?: boolean };

async function printedPlan(checkpoint: Checkpoint, flags: Flags, show: Progress): Promise<string> {
  const { text } = await calibrationTexts(checkpoint, flags);
  const plan = await planOf(checkpoint, flags, text, show, interruptSignal(), { rank: true });
  if (flags.json) return JSON.stringify(plan, undefined, 2);
  const { planTable } = await import('../plan-table.ts');
  const { removalTable } = await import('../removal-table.ts');
  const table = planTable(checkpoint, plan);
  return flags.remove === 0 ? `${table}\n\n${removalTable(checkpoint, plan, flags)}` : table;
}

async function printedSweep(checkpoint: Checkpoint, flags: Flags, show: Progress): Promise<string> {
  const sweep = await sweepWith(checkpoint, flags, show, interruptSignal());
  if (flags.report !== undefined) await writeSweepReport(sweep, flags.report);
  if (flags.json) return JSON.stringify(sweep, undefined, 2);
  const { sweepTable } = await import('../sweep-table.ts');
  return sweepTable(sweep);
}
