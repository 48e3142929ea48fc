import { join } from 'node:path';
import type { PromptWeightType } from '../artifact/decoder/prompt-weights.ts';
import { InvalidDataError } from '../artifact/errors.ts';
import type { Store } from '../artifact/store/store.ts';
import type { FoldResult } from '../compressor/fold.ts';
import type { FoldPlan } from '../compressor/plan/plan.ts';
import packageJson from '../package.json' with { type: 'json' };
import { calibrationTexts } from './calibration-texts.ts';
import { awareOf, type CureFlags, cureOf, recordedCure } from './cure-options.ts';
import type { FoldFlags } from './fold-options.ts';
import { planOf } from './plan-of.ts';
import { byteProgress, formatBytes, progress } from './progress.ts';

export interface FoldIntoOptions {
  /** Recorded in the manifest beside the plan. */
  options: Record<string, unknown>;
  /** Measure what each step costs in perplexity. */
  quality: boolean;
  /** What the model can read prompts with. @default 'same' */
  promptWeights?: PromptWeightType;
  signal: AbortSignal;
}

/** Folds a checkpoint into a store, showing the plan and the progress on stderr. */
export async function foldInto(
  path: string,
  { store, name }: { store: Store; name: string },
  flags: FoldFlags & Partial<CureFlags>,
  { options, quality, promptWeights, signal }: FoldIntoOptions,
): Promise<FoldResult> {
  const { defaultCacheFolder } = await import('../artifact/cache.ts');
  const { bytesOf } = await import('../artifact/manifest.ts');
  const { openCheckpoint } = await import('../compressor/checkpoint/open.ts');
  const { fold, publishingStep } = await import('../compressor/fold.ts');
  const { fitsText } = await import('../compressor/patch/cuts.ts');
  const { fitsCodes } = await import('../compressor/quantize/precision.ts');
  const { planTable } = await import('./plan-table.ts');
  const show = progress();
  const sending = byteProgress();
  await touchStore(store, name, signal);
  const checkpoint = await openCheckpoint(path);
  try {
    if (checkpoint.tokens.eos.length === 0) {
      process.stderr.write(
        `${checkpoint.name} names no end-of-text token: what it writes ends only at its token limit. ` +
          'Set eos_token_id in its generation_config.json.\n',
      );
    }
    const texts = await calibrationTexts(checkpoint, flags);
    const asked = cureOf(flags, show);
    const aware = awareOf(flags, show);
    const plan = await planOf(checkpoint, flags, texts.text, show, signal);
    process.stderr.write(`${planTable(checkpoint, plan)}\n\n`);
    const cure = asked && flags.cureTokens === undefined && learnsNothing(plan, asked) ? undefined : asked;
    if (asked && !cure) process.stderr.write('Nothing is folded, so there is nothing to cure.\n');
    const result = await fold({
      checkpoint,
      plan,
      store,
      name,
      workFolder: join(defaultCacheFolder(), 'folds'),
      version: packageJson.version,
      options: { ...options, ...recordedCure(cure), ...recordedCure(aware, 'quantizeAware'), plan },
      // The plan decides, which may come from a file and not from flags.
      ...(fitsText(plan) && { fit: texts.fit(plan) }),
      ...(fitsCodes(plan.quantize) && texts.calibrate && { calibrate: texts.calibrate() }),
      cacheText: texts.cache(),
      promptWeights,
      ...(cure && { cure }),
      ...(aware && { aware }),
      ...(quality && { quality: texts.quality }),
      onProgress(step, done, total) {
        if (step !== publishingStep) return show.update(step, done, total);
        show.finish();
        sending.update(step, done, total);
      },
      onNotice(message) {
        show.finish();
        process.stderr.write(`${message}\n`);
      },
      signal,
    });
    sending.finish();
    if (result.resumedSteps > 0) {
      process.stderr.write(`Took up an interrupted fold: ${result.resumedSteps} steps were done already.\n`);
    }
    if (result.quality.length > 0) {
      process.stderr.write(
        `Perplexity on ${texts.quality.description} (${texts.quality.text.tokens} tokens)\n`,
      );
      for (const { stage, perplexity } of result.quality) {
        const ratio = perplexity / result.quality[0]!.perplexity;
        process.stderr.write(
          `  ${stage.padEnd(15)} ${perplexity.toFixed(2).padStart(9)}  ${ratio.toFixed(3)}x\n`,
        );
      }
    }
    process.stderr.write(`Published ${name} into ${store.url}, ${formatBytes(bytesOf(result.manifest))}.\n`);
    return result;
  } finally {
    show.finish();
    sending.finish();
    await checkpoint.close();
  }
}

/** The whole model gives the checkpoint's own probabilities already. */
function learnsNothing(plan: FoldPlan, { crossEntropy = 0 }: { crossEntropy?: number }): boolean {
  const { layers, checkpointLayers, widths } = plan;
  const blocks = new Set(layers.map(({ block }) => block)).size;
  const isWhole = layers.length === checkpointLayers && layers.every(({ half }) => half === undefined);
  return crossEntropy === 0 && isWhole && blocks === checkpointLayers && !widths;
}

/** Tells of a wrong bucket or wrong credentials now, not after an hour of folding. */
async function touchStore(store: Store, name: string, signal: AbortSignal): Promise<void> {
  const { readPointer } = await import('../artifact/models/read.ts');
  const { manifestPrefix } = await import('../artifact/models/layout.ts');
  const published = await readPointer(store, name, { signal }).catch((error: unknown) => {
    if (!(error instanceof InvalidDataError)) throw error;
    return error; // a broken one is replaced
  });
  // An object that is missing looks like a bucket that is; a listing tells them apart.
  if (published === undefined)
    await store.list(manifestPrefix(name), { signal })[Symbol.asyncIterator]().next();
}
