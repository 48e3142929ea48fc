import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { UsageError } from '../artifact/errors.ts';
import { parseTokenizer } from '../artifact/tokenizer.ts';
import { int4Tokens, tokensToFit, windowTokens } from '../compressor/calibration/amounts.ts';
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
  /** Each step's quality is measured on it, so nothing else should see it. */
  quality: { text: TextWindows; description: string };
}

/** The file of --calibration, else training data and its held-out part, else a built-in text. */
export async function calibrationTexts(
  checkpoint: Checkpoint,
  flags: Pick<FoldFlags, 'calibration' | 'calibrationTokens' | 'calibrate'> & { data?: string[] },
): Promise<CalibrationTexts> {
  const { cutWindows } = await import('../compressor/evaluate/windows.ts');
  const tokenizer = parseTokenizer(await checkpoint.tokenizerFiles(), checkpoint.name);
  const window = Math.min(windowTokens, checkpoint.architecture.contextLength);
  const cut = (content: string, tokens: number) => cutWindows(tokenizer, content, window, tokens);
  const { calibrate: method } = flags;
  const { content, unseen, description } = await calibrationContent(flags);
  const text = cut(content, flags.calibrationTokens);
  const windowsToFit = () => {
    if (unseen !== undefined) return cut(content, int4Tokens).windows;
    // What quality is measured on stays out of the fit, where enough of the text is left.
    const { windows } = cut(content, flags.calibrationTokens + int4Tokens);
    const others = windows.slice(text.windows.length);
    const enough = others.length >= Math.min(text.windows.length, int4Tokens / window);
    return enough ? others : cut(content, int4Tokens).windows;
  };
  return {
    text,
    ...(method !== 'none' && { calibrate: () => ({ method, windows: windowsToFit() }) }),
    fit: (plan) => cut(content, tokensToFit(plan)),
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
    return { content: defaultText, description: 'built-in text' };
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
