import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../artifact/errors.ts';
import { parseTokenizer } from '../artifact/tokenizer.ts';
import type { Checkpoint } from '../compressor/checkpoint/checkpoint.ts';
import type { TextWindows } from '../compressor/evaluate/windows.ts';
import { type FoldPlan, type SharedWeights, sharedWeights } from '../compressor/plan/plan.ts';
import type { Progress } from './progress.ts';

/** Options that decide a fold, shared by `plan`, `fold` and `start`. */
export interface FoldFlags {
  plan?: string;
  remove: number;
  share: number;
  rank: string;
  weights: SharedWeights;
  keep: number[];
  quantize: string;
  calibration?: string;
  calibrationTokens: number;
}

export function addFoldOptions(command: Command): Command {
  return command
    .option('--remove <share>', 'share of the layers to remove, 0 to below 1', parseNumber, 0)
    .option('--share <layers>', 'neighbouring kept layers that run one block', parseInteger, 1)
    .addOption(
      new Option(
        '--rank <method>',
        'how layers are ranked: by the loss without each, or by block influence (quicker)',
      )
        .choices(['loss', 'influence'])
        .default('loss'),
    )
    .addOption(
      new Option('--weights <choice>', 'the weights a group shares')
        .choices([...sharedWeights])
        .default('first'),
    )
    .option('--keep <layers>', 'layers never removed, negative ones from the end', parseIntegers, [0, -1])
    .option(
      '--quantize <form>',
      'int4, int8 or none, each with :32, :64 or :128 for the block size, then exceptions by kind: ' +
        'int4:128,down=int8,embedding=none (kinds: qkv, output, gate, up, down, embedding)',
      'int4',
    )
    .option(
      '--calibration <file>',
      'text that layers are ranked and quality is measured on (default: a built-in one)',
    )
    .option('--calibration-tokens <count>', 'tokens of it to use', parseCount, 2048);
}

/** What a plan decides; with a plan of one's own, these have no say. */
const planned = ['remove', 'share', 'rank', 'weights', 'keep', 'quantize'] as const;

/** @throws UsageError where options were given that the plan of --plan decides */
export function refuseBesidePlan(command: Command): void {
  if (command.getOptionValue('plan') === undefined) return;
  const given = planned.filter((option) => command.getOptionValueSource(option) === 'cli');
  if (given.length === 0) return;
  const names = given.map((option) => `--${option}`).join(', ');
  throw new UsageError(
    `${names} cannot be used with --plan, whose file decides it. Leave out either, or edit the file.`,
  );
}

/** The options that had a say, for the manifest that others read: without the folders of this machine. */
export function recordedOptions(flags: FoldFlags): Record<string, unknown> {
  const names = flags.plan === undefined ? planned : [];
  return {
    ...Object.fromEntries(names.map((name) => [name, flags[name]])),
    ...(flags.calibration !== undefined && { calibration: basename(flags.calibration) }),
    calibrationTokens: flags.calibrationTokens,
  };
}

/** Tokens of a calibration window. */
const calibrationWindow = 256;

export async function calibrationText(
  checkpoint: Checkpoint,
  flags: Pick<FoldFlags, 'calibration' | 'calibrationTokens'>,
): Promise<{ text: TextWindows; description: string }> {
  const { cutWindows } = await import('../compressor/evaluate/windows.ts');
  const tokenizer = parseTokenizer(await checkpoint.tokenizerFiles(), checkpoint.name);
  const text = flags.calibration
    ? await readText(flags.calibration)
    : (await import('../compressor/calibration/default-text.ts')).defaultText;
  const window = Math.min(calibrationWindow, checkpoint.architecture.contextLength);
  return {
    text: cutWindows(tokenizer, text, window, flags.calibrationTokens),
    description: flags.calibration === undefined ? 'built-in text' : basename(flags.calibration),
  };
}

export async function readText(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: Error) => {
    throw new UsageError(`No text could be read from ${path}.`, { cause });
  });
}

/**
 * The plan of a file, or one made by ranking the layers.
 * @param options.rank also where the plan does without: somebody wants to see the scores. @default false
 */
export async function planOf(
  checkpoint: Checkpoint,
  flags: FoldFlags,
  calibration: TextWindows,
  show: Progress,
  signal: AbortSignal,
  options: { rank?: boolean } = {},
): Promise<FoldPlan> {
  const depth = { name: checkpoint.name, layers: checkpoint.architecture.layers.length };
  if (flags.plan !== undefined) {
    const { readPlan } = await import('../compressor/plan/plan.ts');
    return readPlan(flags.plan, depth);
  }
  const { makePlan } = await import('../compressor/plan/make-plan.ts');
  const { parsePrecision } = await import('../compressor/quantize/precision.ts');
  parsePrecision(flags.quantize); // a typing error is told before the work, not after it
  let ranking: { method: string; scores?: number[] } = { method: 'none' };
  const needsScores = Math.round(flags.remove * depth.layers) > 0 || flags.weights === 'weighted';
  if (options.rank || needsScores) {
    makePlan(depth, { method: 'check', scores: new Array(depth.layers).fill(0) }, flags); // likewise
    const { rankers } = await import('../compressor/rank/index.ts');
    const scores = await rankers[flags.rank]!(checkpoint, calibration, {
      onProgress: (done, total) => show.update(`Ranking layers by ${flags.rank}`, done, total),
      signal,
    });
    show.finish();
    ranking = { method: flags.rank, scores };
  }
  return makePlan(depth, ranking, flags);
}

export function parseNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('A number is expected.');
  return value;
}

export function parseInteger(text: string): number {
  const value = parseNumber(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('A whole number is expected.');
  return value;
}

export function parseCount(text: string): number {
  const value = parseInteger(text);
  if (value < 1) throw new InvalidArgumentError('A whole number above 0 is expected.');
  return value;
}

function parseIntegers(text: string): number[] {
  return text === '' || text === 'none' ? [] : text.split(',').map(parseInteger);
}
