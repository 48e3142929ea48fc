import { join } from 'node:path';
import type { Store } from '../artifact/store/store.ts';
import type { FoldResult } from '../compressor/fold.ts';
import packageJson from '../package.json' with { type: 'json' };
import { calibrationText, type FoldFlags, planOf } from './fold-options.ts';
import { formatBytes, progress } from './progress.ts';

export interface FoldIntoOptions {
  /** Recorded in the manifest beside the plan. */
  options: Record<string, unknown>;
  /** Measure what each step costs in perplexity. */
  quality: boolean;
  signal: AbortSignal;
}

/** Folds a checkpoint into a store, showing the plan and the progress on stderr. */
export async function foldInto(
  path: string,
  { store, name }: { store: Store; name: string },
  flags: FoldFlags,
  { options, quality, signal }: FoldIntoOptions,
): Promise<FoldResult> {
  const { defaultCacheFolder } = await import('../artifact/cache.ts');
  const { openCheckpoint } = await import('../compressor/checkpoint/open.ts');
  const { fold } = await import('../compressor/fold.ts');
  const { planTable } = await import('./plan-table.ts');
  const show = progress({
    format: (done, total) =>
      total > 1e5 ? `${formatBytes(done)} of ${formatBytes(total)}` : `${done}/${total}`,
  });
  const checkpoint = await openCheckpoint(path);
  try {
    const calibration = await calibrationText(checkpoint, flags);
    const plan = await planOf(checkpoint, flags, calibration.text, show, signal);
    process.stderr.write(`${planTable(checkpoint, plan)}\n\n`);
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
    if (result.resumedSteps > 0) {
      process.stderr.write(`Took up an interrupted fold: ${result.resumedSteps} steps were done already.\n`);
    }
    const bytes = result.manifest.weights.reduce((sum, blob) => sum + blob.bytes, 0);
    if (result.quality.length > 0) {
      process.stderr.write(`Perplexity on ${calibration.description} (${calibration.text.tokens} tokens)\n`);
      for (const { stage, perplexity } of result.quality) {
        const ratio = perplexity / result.quality[0]!.perplexity;
        process.stderr.write(
          `  ${stage.padEnd(15)} ${perplexity.toFixed(2).padStart(9)}  ${ratio.toFixed(3)}x\n`,
        );
      }
    }
    process.stderr.write(`Published ${name} into ${store.url}, ${formatBytes(bytes)} of weights.\n`);
    return result;
  } finally {
    show.finish();
    await checkpoint.close();
  }
}
