import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../artifact/errors.ts';
import { parseTokenizer } from '../artifact/tokenizer.ts';
import type { Checkpoint } from '../compressor/checkpoint/checkpoint.ts';
import type { TextWindows } from '../compressor/evaluate/windows.ts';
import { methods } from '../compressor/methods/index.ts';
import { type FoldPlan, type SharedWeights, sharedWeights } from '../compressor/plan/plan.ts';
import { heldOutShare } from './cure-options.ts';
import type { Progress } from './progress.ts';

/** Options that decide a fold, shared by `plan`, `fold` and `start`. */
export interface FoldFlags {
  plan?: string;
  method?: string;
  remove: number;
  share: number;
  rank: string;
  patch: 'none' | 'linear';
  weights: SharedWeights;
  keep: number[];
  quantize: string;
  calibrate: 'gptq' | 'none';
  calibration?: string;
  calibrationTokens: number;
}

export function addFoldOptions(command: Command): Command {
  return command
    .hook('preAction', (_, action) => applyMethod(action))
    .addOption(
      new Option(
        '--method <name>',
        'a named way to fold, which sets --rank, --patch and the cure where they are not given',
      ).choices(Object.keys(methods)),
    )
    .option('--remove <share>', 'share of the layers to remove, 0 to below 1', parseNumber, 0)
    .option('--share <layers>', 'neighbouring kept layers that run one block', parseInteger, 1)
    .addOption(
      new Option('--rank <how>', 'how the layers to remove are found, see below')
        .choices(Object.keys(rankHelp))
        .default('loss'),
    )
    .addOption(
      new Option(
        '--patch <kind>',
        'what stands in for removed layers: nothing, or a linear map fitted to the text',
      )
        .choices(['none', 'linear'])
        .default('none'),
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
        'int4:128,down=int8,embedding=none (kinds: qkv, output, gate, up, down, embedding); or auto:5, int4 and ' +
        'int8 where it is worth its bytes, up to 5 bits a block weight',
      'int4',
    )
    .addOption(
      new Option(
        '--calibrate <how>',
        'int4 matrices: fitted to what flows through them on the calibration text, or rounded to nearest',
      )
        .choices(['gptq', 'none'])
        .default('gptq'),
    )
    .option(
      '--calibration <file>',
      'text that layers are ranked, int4 is fitted and quality is measured on (default: that of --data, else ' +
        'a built-in one)',
    )
    .option('--calibration-tokens <count>', 'tokens of it to use', parseCount, 2048);
}

/** What `--rank` takes, without loading what carries it out. */
const rankHelp: Record<string, string> = {
  loss: 'by the loss without each layer',
  greedy: 'by that loss, measured again after each removal',
  influence: 'by how little a layer turns the hidden state (quickest)',
  gates: 'by gates trained together to a size',
  runs: 'runs of neighbours, measured with a linear patch in their place',
  reverse: 'the deepest first',
  uniform: 'at equal distances',
};

/** For the end of `--help`. */
export function rankingHelp(): string {
  const lines = (entries: [string, string][]) =>
    entries.map(([name, text]) => `  ${name.padEnd(10)} ${text}`).join('\n');
  const summaries = Object.entries(methods).map(([name, { summary }]): [string, string] => [name, summary]);
  return `\nMethods:\n${lines(summaries)}\n\nRanking (--rank):\n${lines(Object.entries(rankHelp))}\n`;
}

/** A method's choices take the place of defaults, never of what was given. */
function applyMethod(command: Command): void {
  const method = methods[command.getOptionValue('method') ?? ''];
  if (!method) return;
  for (const option of ['rank', 'patch', 'calibrationTokens'] as const) {
    if (method[option] !== undefined && command.getOptionValueSource(option) === 'default')
      command.setOptionValueWithSource(option, method[option], 'implied');
  }
}

/** What a plan decides; with a plan of one's own, these have no say. */
const planned = ['method', 'remove', 'share', 'rank', 'patch', 'weights', 'keep', 'quantize'] as const;

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
    ...Object.fromEntries(
      names.filter((name) => flags[name] !== undefined).map((name) => [name, flags[name]]),
    ),
    ...(flags.calibrate === 'none' && { calibrate: flags.calibrate }),
    ...(flags.calibration !== undefined && { calibration: basename(flags.calibration) }),
    calibrationTokens: flags.calibrationTokens,
  };
}

/** Tokens of a calibration window. */
const calibrationWindow = 256;

/** Tokens that patches are fitted on: fewer, and the map learns the text. */
const fitTokens = 12_288;

/** Tokens that int4 is fitted to, where the text has them. */
const quantizeTokens = 8192;

/** The texts that a fold looks at, cut into windows. */
export interface CalibrationTexts {
  /** Layers are ranked on it. */
  text: TextWindows;
  /** Patches are fitted on it. */
  fit: TextWindows;
  /** Cuts the windows that int4 is fitted to, where it is to be. */
  calibrate?: () => Int32Array[];
  /** Each step's quality is measured on it, so nothing else should see it. */
  quality: { text: TextWindows; description: string };
}

/** The file of --calibration, else training data and its held-out part, else a built-in text. */
export async function calibrationTexts(
  checkpoint: Checkpoint,
  flags: Pick<FoldFlags, 'calibration' | 'calibrationTokens' | 'calibrate' | 'patch'> & { data?: string[] },
): Promise<CalibrationTexts> {
  const { cutWindows } = await import('../compressor/evaluate/windows.ts');
  const tokenizer = parseTokenizer(await checkpoint.tokenizerFiles(), checkpoint.name);
  const window = Math.min(calibrationWindow, checkpoint.architecture.contextLength);
  const cut = (content: string, tokens: number) => cutWindows(tokenizer, content, window, tokens);
  const { content, unseen, description } = await calibrationContent(flags);
  const text = cut(content, flags.calibrationTokens);
  const calibrate = () => {
    if (unseen !== undefined) return cut(content, quantizeTokens).windows;
    // What quality is measured on stays out of the fit, where enough of the text is left.
    const { windows } = cut(content, flags.calibrationTokens + quantizeTokens);
    const others = windows.slice(text.windows.length);
    const enough = others.length >= Math.min(text.windows.length, quantizeTokens / window);
    return enough ? others : cut(content, quantizeTokens).windows;
  };
  return {
    text,
    ...(flags.calibrate === 'gptq' && { calibrate }),
    fit: flags.patch === 'none' ? text : cut(content, fitTokens),
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
  const { fromStart, makePlan } = await import('../compressor/plan/make-plan.ts');
  const { parsePrecision } = await import('../compressor/quantize/precision.ts');
  parsePrecision(flags.quantize); // a typing error is told before the work, not after it
  let ranking: { method: string; scores?: number[] } = { method: 'none' };
  const remove = Math.round(flags.remove * depth.layers);
  const needsScores = remove > 0 || flags.weights === 'weighted';
  if (options.rank || needsScores) {
    makePlan(depth, { method: 'check', scores: new Array(depth.layers).fill(0) }, flags); // likewise
    const { rankers } = await import('../compressor/rank/index.ts');
    const { scores } = await rankers[flags.rank]!(checkpoint, calibration, {
      remove,
      keep: fromStart(flags.keep, depth.layers),
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
