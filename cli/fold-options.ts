import { basename } from 'node:path';
import { type Command, Option } from 'commander';
import { UsageError } from '../artifact/errors.ts';
import { type AdapterForm, noAdapter, parseAdapter } from '../compressor/adapter/adapter.ts';
import { methods } from '../compressor/methods/index.ts';
import { type Grouping, groupings, type Refill, refills } from '../compressor/plan/make-plan.ts';
import { type PatchKind, patchKinds, type SharedWeights, sharedWeights } from '../compressor/plan/plan.ts';
import { type Shrink, shrinks, usualSpread } from '../compressor/plan/widths.ts';
import { type CalibrationMethod, calibrations } from '../compressor/quantize/calibration.ts';
import { rankSummaries, searchRank } from '../compressor/rank/summaries.ts';
import { type ReplacementCost, replacementCosts } from '../compressor/search/replacements.ts';
import { parseBytes } from './bytes.ts';
import { addDeviceOption } from './device-option.ts';
import { parseCount, parseIntegers, parseNumber } from './parse.ts';

/** Options that decide a fold, shared by `plan`, `fold` and `start`. */
export interface FoldFlags {
  plan?: string;
  method?: string;
  remove: number;
  share: number;
  groups: Grouping;
  rank: string;
  /** Of `--rank search`. */
  searchCost: ReplacementCost;
  patch: PatchKind;
  refill: Refill;
  adapter: AdapterForm;
  width: number;
  shrink: Shrink;
  spread: number;
  weights: SharedWeights;
  keep: number[];
  /** Bytes stored, at most: decides --remove, and --quantize where that is not given. */
  targetSize?: number;
  /** Bytes of a serving process's memory, at most: likewise. */
  fit?: number;
  quantize: string;
  calibrate: CalibrationMethod | 'none';
  calibration?: string;
  calibrationTokens: number;
}

export function addFoldOptions(command: Command): Command {
  return addDeviceOption(command)
    .hook('preAction', (_, action) => applyMethod(action))
    .addOption(
      new Option(
        '--method <name>',
        'a named way to fold, which sets --rank, --patch and the cure where they are not given',
      ).choices(Object.keys(methods)),
    )
    .option('--remove <share>', 'share of the layers to remove, 0 to below 1', parseNumber, 0)
    .addOption(
      new Option(
        '--target-size <size>',
        'bytes stored, at most (60MB): finds --remove, and --quantize where it is not given',
      )
        .argParser(parseBytes)
        .conflicts(['remove', 'fit', 'plan']),
    )
    .addOption(
      new Option(
        '--fit <memory>',
        'memory of a serving process, at most (512MB), with 2,048 tokens of context: likewise',
      )
        .argParser(parseBytes)
        .conflicts(['remove', 'plan']),
    )
    .option(
      '--width <share>',
      "mean share of the MLPs' width to keep, to 1; importance, by --rank, spreads it over the blocks",
      parseNumber,
      1,
    )
    .addOption(
      new Option(
        '--shrink <what>',
        "what --remove takes: whole layers (depth), a share of the blocks' parameters off their MLPs' width, or both, a " +
          'third of it in layers',
      )
        .choices([...shrinks])
        .default('depth'),
    )
    .option(
      '--spread <number>',
      'how unequal importance makes widths: near 0 the least important block gives all, 10 is alike',
      parseNumber,
      usualSpread,
    )
    .option('--share <layers>', 'neighbouring kept layers that run one block, in the mean', parseNumber, 1)
    .addOption(
      new Option(
        '--groups <how>',
        'which neighbours those are: as many for each block (even), or, under as many blocks, those whose sharing was ' +
          'measured to harm least, vital ones with their own (measured)',
      )
        .choices([...groupings])
        .default('even'),
    )
    .addOption(
      new Option('--rank <how>', 'how the layers to remove are found, see below')
        .choices(Object.keys(rankSummaries))
        .default('loss'),
    )
    .addOption(
      new Option(
        '--search-cost <what>',
        'what --rank search adds up: the error of what stands in for layers, where it stands, or the rise of the loss ' +
          'with it alone, which takes many times as long',
      )
        .choices([...replacementCosts])
        .default('error'),
    )
    .addOption(
      new Option(
        '--patch <kind>',
        'what stands in for removed layers: nothing, a linear map fitted to the text, or the layer before them, ' +
          'trained on the text to do what it and they did (block)',
      )
        .choices([...patchKinds])
        .default('none'),
    )
    .addOption(
      new Option(
        '--refill <how>',
        'what runs in the places of removed layers: nothing; behind gains that start at 0 for a cure to open, the ' +
          'kept block before them (previous) or the one nearest to them by their weights (nearest); or the one ' +
          'before them in full (tied)',
      )
        .choices([...refills])
        .default('none'),
    )
    .addOption(
      new Option(
        '--adapter <form>',
        "what layers that run another layer's block have of their own: gain; lora:RANK, low-rank matrices; " +
          'mos:RANK, the same put together from pools that all layers share, an eighth of the parameters; ' +
          'orchestrated:RANK, as lora, and trained by the cure so that layers move each other; gain+FORM, both',
      )
        .argParser(parseAdapter)
        .default(noAdapter, 'none'),
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
        'int4 matrices: fitted to what flows through them on the calibration text, in their codes (gptq), in scales ' +
          'of their inputs (awq) or in both, or rounded to nearest (none)',
      )
        .choices([...calibrations, 'none'])
        .default('gptq'),
    )
    .option(
      '--calibration <file>',
      'text that layers are ranked, int4 is fitted and quality is measured on (default: that of --data, measured on ' +
        'its held-out part; else built-in ones)',
    )
    .option('--calibration-tokens <count>', 'tokens of it to use', parseCount, 2048);
}

/** For the end of `--help`. */
export function rankingHelp(): string {
  const lines = (entries: [string, string][]) =>
    entries.map(([name, text]) => `  ${name.padEnd(17)} ${text}`).join('\n');
  const summaries = Object.entries(methods).map(([name, { summary }]): [string, string] => [name, summary]);
  return `\nMethods:\n${lines(summaries)}\n\nRanking (--rank):\n${lines(Object.entries(rankSummaries))}\n`;
}

/** `FoldFlags.quantize` where a size is given and the quantization is to be found for it. */
export const anyQuantization = 'any';

/** A method's choices take the place of defaults, never of what was given. */
function applyMethod(command: Command): void {
  const sized = command.getOptionValue('targetSize') ?? command.getOptionValue('fit');
  if (sized !== undefined && command.getOptionValueSource('quantize') === 'default')
    command.setOptionValueWithSource('quantize', anyQuantization, 'implied');
  const method = methods[command.getOptionValue('method') ?? ''];
  if (!method) return;
  const { rank, patch, refill, shrink, calibrationTokens } = method;
  const adapter = method.adapter && parseAdapter(method.adapter);
  for (const [option, value] of Object.entries({ rank, patch, refill, shrink, adapter, calibrationTokens })) {
    if (value !== undefined && command.getOptionValueSource(option) === 'default')
      command.setOptionValueWithSource(option, value, 'implied');
  }
}

/** What a plan decides; with a plan of one's own, these have no say. */
const planned = [
  'method',
  'remove',
  'width',
  'shrink',
  'spread',
  'share',
  'groups',
  'rank',
  'searchCost',
  'patch',
  'refill',
  'adapter',
  'weights',
  'keep',
  'quantize',
] as const;

/** The options that were given and that a plan decides: those that it would be made by. */
function givenForPlan(command: Command): Option[] {
  const decided: readonly string[] = [...planned, 'targetSize', 'fit'];
  return command.options.filter(
    (option) =>
      decided.includes(option.attributeName()) &&
      command.getOptionValueSource(option.attributeName()) === 'cli',
  );
}

/** Whether anything was said of what the plan is to be. */
export function decidesPlan(command: Command): boolean {
  return givenForPlan(command).length > 0;
}

/** @throws UsageError where options were given that the plan of --plan decides */
export function refuseBesidePlan(command: Command): void {
  if (command.getOptionValue('plan') === undefined) return;
  const given = givenForPlan(command);
  if (given.length === 0) return;
  const names = given.map(({ long }) => long).join(', ');
  throw new UsageError(
    `${names} cannot be used with --plan, whose file decides it. Leave out either, or edit the file.`,
  );
}

/** The options that had a say, for the manifest that others read: without the folders of this machine. */
export function recordedOptions(flags: FoldFlags): Record<string, unknown> {
  // Some have a say beside others alone.
  const idle = { searchCost: flags.rank !== searchRank, groups: flags.share === 1 };
  const had = (name: (typeof planned)[number]) => !(name in idle && idle[name as keyof typeof idle]);
  const names = flags.plan === undefined ? planned.filter(had) : [];
  return {
    ...Object.fromEntries(
      names.filter((name) => flags[name] !== undefined).map((name) => [name, flags[name]]),
    ),
    ...(flags.calibrate === 'none' && { calibrate: flags.calibrate }),
    ...(flags.calibration !== undefined && { calibration: basename(flags.calibration) }),
    calibrationTokens: flags.calibrationTokens,
  };
}
