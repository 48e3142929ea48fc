import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { UsageError } from '../artifact/errors.ts';
import { parseTokenizer } from '../artifact/tokenizer.ts';
import { cacheTokens, int4Tokens, tokensToFit, windowTokens } from '../compressor/calibration/amounts.ts';
import type { Checkpoint } from '../compressor/checkpoint/checkpoint.ts';
import type { TextWindows } from '../compressor/evaluate/windows.ts';
import type { FoldPlan } from '../compressor/plan/plan.ts';
import type { Calibration } from '../compressor/quantize/calibration.ts';
import { heldOutShare } from '../compressor/train/cure-options.ts';
import type { FoldFlags } from './fold-options.ts';

/** The texts that a fold looks at, cut into windows. */
export interface CalibrationTexts {
  /** Layers are ranked on it. */
  text: TextWindows;
  /** Cuts what stands in for removed layers is fitted on. */
  fit: (plan: Pick<FoldPlan, 'patch'>) => TextWindows;
  /** Cuts what int4 is fitted to, where it is to be. */
  calibrate?: () => Calibration;
  /** Windows that the scales of an int8 cache are taken from. */
  cache: () => Int32Array[];
  /** Each step's quality is measured on it, so nothing else should see it. */
  quality: { text: TextWindows; description: string };
}

/**
 * The file of --calibration, else training data and its held-out part, else two built-in texts: one that all is fitted on,
 * one that quality is measured on.
 */
export async function calibrationTexts(
  checkpoint: Checkpoint,
  flags: Pick<FoldFlags, 'calibration' | 'calibrationTokens' | 'calibrate'> & { data?: string[] },
): Promise<CalibrationTexts> {
  const { cutWindows, windowsFrom } = await import('../compressor/evaluate/windows.ts');
  const tokenizer = parseTokenizer(await checkpoint.tokenizerFiles(), checkpoint.name);
  const { contextLength } = checkpoint.architecture;
  const cut = (content: string, tokens: number, length = windowTokens) =>
    cutWindows(tokenizer, content, Math.min(length, contextLength), tokens);
  const { calibrate: method } = flags;
  const { content, unseen, description } = await calibrationContent(flags);
  const text = cut(content, flags.calibrationTokens);
  /** What quality is measured on stays out of it, where enough of the text is left. */
  const toFit = (tokens: number, length?: number): TextWindows => {
    const all = cut(content, tokens, length);
    if (unseen !== undefined) return all;
    const measured = cut(content, flags.calibrationTokens, length).windows.length;
    const others = windowsFrom(cut(content, flags.calibrationTokens + tokens, length), measured);
    return others.windows.length >= Math.min(measured, all.windows.length) ? others : all;
  };
  return {
    text,
    ...(method !== 'none' && { calibrate: () => ({ method, windows: toFit(int4Tokens).windows }) }),
    cache: () => toFit(int4Tokens, cacheTokens).windows,
    fit: (plan) => toFit(tokensToFit(plan)),
    quality: {
      text: unseen === undefined ? text : cut(unseen, flags.calibrationTokens),
      description,
    },
  };
}

async function calibrationContent({
  calibration,
  data,
}: {
  calibration?: string;
  data?: string[];
}): Promise<{ content: string; unseen?: string; description: string }> {
  if (calibration !== undefined)
    return { content: await readText(calibration), description: basename(calibration) };
  if (data === undefined) {
    const { defaultText } = await import('../compressor/calibration/default-text.ts');
    const { defaultFitText } = await import('../compressor/calibration/default-fit-text.ts');
    return { content: defaultFitText, unseen: defaultText, description: 'built-in text' };
  }
  const { readDocuments } = await import('../compressor/train/data/documents.ts');
  const { splitDocuments } = await import('../compressor/train/data/order.ts');
  const { training, heldOut } = splitDocuments(await readDocuments(data), heldOutShare);
  const joined = (documents: typeof training) =>
    documents.flatMap(({ content }) => (typeof content === 'string' ? [content] : [])).join('\n\n');
  const content = joined(training);
  if (content === '') return calibrationContent({}); // conversations alone
  const names = data.map((path) => basename(path)).join(', ');
  return { content, unseen: joined(heldOut), description: `held-out part of ${names}` };
}

export async function readText(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: Error) => {
    throw new UsageError(`No text could be read from ${path}.`, { cause });
  });
}
