import { join } from 'node:path';
import { Command } from 'commander';
import packageJson from '../../package.json' with { type: 'json' };
import { addFoldOptions, calibrationText, type FoldFlags, planOf } from '../fold-options.ts';
import { formatBytes, progress } from '../progress.ts';
import { interruptSignal } from '../signal.ts';

interface Flags extends FoldFlags {
  out: string;
  quality: boolean;
  json?: boolean;
}

export function foldCommand(): Command {
  return addFoldOptions(new Command('fold'))
    .description('fold a checkpoint and publish it into a store')
    .argument('<checkpoint>', 'Hugging Face folder or GGUF file')
    .requiredOption('--out <url>', 'where to: file:./models/NAME or s3://bucket/prefix/NAME')
    .option('--plan <file>', 'carry out this plan instead of making one')
    .option('--no-quality', 'skip measuring what each step costs in perplexity')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Examples:
  foldgate fold ./SmolLM2-135M-Instruct --remove 0.2 --out file:./models/smol
  foldgate fold model.gguf --share 2 --quantize int8 --out s3://models/tiny
  foldgate fold model.gguf --plan plan.json --out file:./models/tiny

An interrupted fold leaves nothing in the store; running it again takes it up where it stopped.`,
    )
    .action(async (path: string, flags: Flags) => {
      const { openModelUrl } = await import('../../artifact/store/open.ts');
      const { store, name } = await openModelUrl(flags.out);
      const { defaultCacheFolder } = await import('../../artifact/cache.ts');
      const { openCheckpoint } = await import('../../compressor/checkpoint/open.ts');
      const { fold } = await import('../../compressor/fold.ts');
      const { planTable } = await import('../plan-table.ts');
      const signal = interruptSignal();
      const show = progress({
        format: (done, total) =>
          total > 1e5 ? `${formatBytes(done)} of ${formatBytes(total)}` : `${done}/${total}`,
      });
      const checkpoint = await openCheckpoint(path);
      try {
        const calibration = await calibrationText(checkpoint, flags);
        const plan = await planOf(checkpoint, flags, calibration.text, show, signal);
        process.stderr.write(`${planTable(checkpoint, plan)}\n\n`);
        const { out, json, quality, ...options } = flags;
        const result = await fold({
          checkpoint,
          plan,
          store,
          name,
          workFolder: join(defaultCacheFolder(), 'folds'),
          version: packageJson.version,
          options: { ...options, plan },
          ...(quality && { quality: calibration }),
          onProgress: show.update,
          signal,
        });
        show.finish();
        const bytes = result.manifest.weights.reduce((sum, blob) => sum + blob.bytes, 0);
        if (json) {
          const { manifest, version } = result;
          const summary = {
            url: out,
            version,
            bytes,
            parameters: manifest.parameters,
            quality: result.quality,
          };
          process.stdout.write(`${JSON.stringify(summary, undefined, 2)}\n`);
          return;
        }
        if (result.quality.length > 0) {
          process.stdout.write(
            `Perplexity on ${calibration.description} (${calibration.text.tokens} tokens)\n`,
          );
          for (const { stage, perplexity } of result.quality) {
            const ratio = perplexity / result.quality[0]!.perplexity;
            process.stdout.write(
              `  ${stage.padEnd(15)} ${perplexity.toFixed(2).padStart(9)}  ${ratio.toFixed(3)}x\n`,
            );
          }
        }
        process.stdout.write(`Published ${flags.out}, ${formatBytes(bytes)} of weights.\n`);
      } finally {
        show.finish();
        await checkpoint.close();
      }
    });
}
